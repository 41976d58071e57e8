create text search dictionary plain (template = simple, accept = false);
create text search configuration words (copy = simple);
alter text search configuration words alter mapping for asciiword with english_stem;
create text search configuration same (copy = english);
