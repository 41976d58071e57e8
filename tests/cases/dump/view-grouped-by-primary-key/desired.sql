SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

CREATE VIEW public.entries AS
SELECT
    NULL::integer AS id,
    NULL::text AS a,
    NULL::bigint AS many;

CREATE VIEW public.busy AS
 SELECT id,
    a
   FROM public.entries
  WHERE (many > 1);

CREATE FUNCTION public.busiest() RETURNS SETOF public.busy
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT busy.id,
     busy.a
    FROM public.busy;
END;

CREATE TABLE public.entry (
    id integer NOT NULL,
    a text
);

CREATE TABLE public.other (
    id integer NOT NULL
);

ALTER TABLE ONLY public.entry
    ADD CONSTRAINT entry_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.other
    ADD CONSTRAINT other_pkey PRIMARY KEY (id);

CREATE OR REPLACE VIEW public.entries AS
 SELECT id,
    a,
    count(*) AS many
   FROM public.entry
  GROUP BY id;
