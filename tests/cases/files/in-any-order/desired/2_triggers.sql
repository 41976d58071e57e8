create trigger stamp before insert on note for each row execute function stamp();
