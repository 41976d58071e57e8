create collation plain (locale = 'C');
create collation same (lc_collate = 'C', lc_ctype = 'POSIX');
