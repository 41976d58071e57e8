create type price_range as range (subtype = numeric, multirange_type_name = price_ranges);
create table booking (id integer primary key, price price_range, prices price_ranges);
