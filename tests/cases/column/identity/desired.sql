create table note (
    body text, id bigint generated always as identity (start with 100 increment by 10)
);
