alter table jobs drop column sealed;
drop table provider_keys;
drop table data_keys;
