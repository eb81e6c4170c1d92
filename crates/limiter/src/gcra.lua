-- One use of a quota, as gcra.rs counts it; the two are tested against each other.
--
-- KEYS[1]  the key; its value is the microsecond of the server's clock at which the quota is full again
-- ARGV[1]  one use, microseconds          ARGV[2]  the whole quota, microseconds
-- Returns  {allowed 1 or 0, remaining uses, microseconds until full, microseconds until the next use is allowed}
--
-- Needs Redis 5 or newer (a script that reads the clock may write). All numbers stay below 2^53, so they are exact;
-- '%.0f' because the default conversion would write a clock as 1.79e+15.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local emission = tonumber(ARGV[1])
local burst = tonumber(ARGV[2])

local full_at = tonumber(redis.call('GET', KEYS[1]) or '') or now
local ahead = math.max(full_at - now, 0)
-- The clock went back (it was set, or another server took over): a used-up quota, and no longer wait than for one.
local astray = ahead > burst
ahead = math.min(ahead, burst)

local after = ahead + emission
local allowed = after <= burst
if allowed then
    ahead = after
end
if allowed or astray then
    -- Rounded up: a key that is gone before its time would be a quota given back too early.
    redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
end
if allowed then
    return {1, math.floor((burst - ahead) / emission), ahead, 0}
end
return {0, 0, ahead, after - burst}
