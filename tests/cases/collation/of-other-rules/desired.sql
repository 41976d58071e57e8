create collation plain (locale = 'POSIX');
create collation same (lc_collate = 'C', lc_ctype = 'POSIX');
create domain word as text collate plain;
