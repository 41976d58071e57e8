create sequence ticket;
create sequence counted;
create sequence kept;
