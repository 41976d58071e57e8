create table note (id integer primary key);
create schema "My App";
create table "My App"."Entry" ("Id" integer primary key);
