create text search dictionary plain (template = simple);
create text search configuration words (copy = simple);
create text search configuration same (copy = english);
