create sequence ticket maxvalue 1000;
create sequence counted increment by -1 minvalue 1 maxvalue 9223372036854775807 start with 1;
create unlogged sequence kept;
