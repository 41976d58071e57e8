create table note (id integer primary key, body text);
create text search dictionary plain (template = simple, stopwords = 'english', accept = false);
create text search configuration words (parser = default);
alter text search configuration words add mapping for asciiword, word with plain, simple;
alter text search configuration words add mapping for numword with simple;
create index note_words on note using gin (to_tsvector('words', body));
comment on text search dictionary plain is 'no stop words';
comment on text search configuration words is 'for notes';
