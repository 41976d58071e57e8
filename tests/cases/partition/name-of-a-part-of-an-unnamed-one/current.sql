create table reading (at date not null, value integer) partition by range (at);
create table reading_2026 partition of reading for values from ('2026-01-01') to ('2027-01-01') partition by range (at);
create table reading_2026_1 partition of reading_2026 for values from ('2026-01-01') to ('2026-02-01');
create table stay (at date not null, value integer) partition by range (at);
create table stay_2026 partition of stay for values from ('2026-01-01') to ('2027-01-01') partition by range (at);
create table stay_2026_1 partition of stay_2026 for values from ('2026-01-01') to ('2026-02-01');
alter table stay add constraint per_day primary key (at);
