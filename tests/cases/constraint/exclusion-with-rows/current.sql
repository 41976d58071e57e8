create table booking (id integer primary key, during tsrange);
insert into booking values (1, '[2024-01-01,2024-01-02)');
