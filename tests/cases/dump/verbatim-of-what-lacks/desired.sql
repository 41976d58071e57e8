--
-- PostgreSQL database dump
--

\restrict mdSgMegbLxdtngLnpHPPvml5472yw2egd0gXyle3GbsIXC0pGgZdMnu1xqQseMz

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: app; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA app;


ALTER SCHEMA app OWNER TO postgres;

--
-- Name: citext; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;


--
-- Name: EXTENSION citext; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION citext IS 'data type for case-insensitive character strings';


--
-- Name: mood; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.mood AS ENUM (
    'ok',
    'it''s'
);


ALTER TYPE public.mood OWNER TO postgres;

--
-- Name: count_notes(integer); Type: FUNCTION; Schema: app; Owner: postgres
--

CREATE FUNCTION app.count_notes(who integer DEFAULT 1) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$ select count(*) from app.note where author = who $$;


ALTER FUNCTION app.count_notes(who integer) OWNER TO postgres;

--
-- Name: stamp(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.stamp() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin return new; end $$;


ALTER FUNCTION public.stamp() OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: note; Type: TABLE; Schema: app; Owner: postgres
--

CREATE TABLE app.note (
    id bigint NOT NULL,
    author integer,
    body text DEFAULT ''::text NOT NULL,
    price numeric(10,2),
    folded text GENERATED ALWAYS AS (lower(body)) STORED,
    CONSTRAINT note_price_check CHECK (((price >= (0)::numeric) AND (price <= (10)::numeric)))
);


ALTER TABLE app.note OWNER TO postgres;

--
-- Name: TABLE note; Type: COMMENT; Schema: app; Owner: postgres
--

COMMENT ON TABLE app.note IS 'it''s a note';


--
-- Name: note_id_seq; Type: SEQUENCE; Schema: app; Owner: postgres
--

ALTER TABLE app.note ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME app.note_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: author; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.author (
    id integer NOT NULL,
    email public.citext,
    mood public.mood DEFAULT 'ok'::public.mood,
    kind character varying(10),
    at timestamp with time zone DEFAULT now(),
    CONSTRAINT author_kind_check CHECK (((kind)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))
);


ALTER TABLE public.author OWNER TO postgres;

--
-- Name: notes; Type: VIEW; Schema: app; Owner: postgres
--

CREATE VIEW app.notes AS
 SELECT n.id,
    a.email
   FROM (app.note n
     JOIN public.author a ON ((a.id = n.author)))
  WHERE ((a.kind)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]));


ALTER TABLE app.notes OWNER TO postgres;

--
-- Name: author_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public.author_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.author_id_seq OWNER TO postgres;

--
-- Name: author_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: postgres
--

ALTER SEQUENCE public.author_id_seq OWNED BY public.author.id;


--
-- Name: event; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.event (
    id integer NOT NULL,
    at date NOT NULL,
    kind text
)
PARTITION BY RANGE (at);


ALTER TABLE public.event OWNER TO postgres;

--
-- Name: event_2024; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.event_2024 (
    id integer NOT NULL,
    at date NOT NULL,
    kind text
);


ALTER TABLE public.event_2024 OWNER TO postgres;

--
-- Name: event_2024; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.event ATTACH PARTITION public.event_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');


--
-- Name: author id; Type: DEFAULT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.author ALTER COLUMN id SET DEFAULT nextval('public.author_id_seq'::regclass);


--
-- Name: note note_pkey; Type: CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.note
    ADD CONSTRAINT note_pkey PRIMARY KEY (id);


--
-- Name: author author_email_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.author
    ADD CONSTRAINT author_email_key UNIQUE (email);


--
-- Name: author author_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.author
    ADD CONSTRAINT author_pkey PRIMARY KEY (id);


--
-- Name: event event_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (id, at);


--
-- Name: event_2024 event_2024_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.event_2024
    ADD CONSTRAINT event_2024_pkey PRIMARY KEY (id, at);


--
-- Name: note_body; Type: INDEX; Schema: app; Owner: postgres
--

CREATE INDEX note_body ON app.note USING btree (lower(body)) WHERE (body <> ''::text);


--
-- Name: event_kind; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX event_kind ON ONLY public.event USING btree (kind);


--
-- Name: event_2024_kind_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX event_2024_kind_idx ON public.event_2024 USING btree (kind);


--
-- Name: event_2024_kind_idx; Type: INDEX ATTACH; Schema: public; Owner: postgres
--

ALTER INDEX public.event_kind ATTACH PARTITION public.event_2024_kind_idx;


--
-- Name: event_2024_pkey; Type: INDEX ATTACH; Schema: public; Owner: postgres
--

ALTER INDEX public.event_pkey ATTACH PARTITION public.event_2024_pkey;


--
-- Name: note stamp; Type: TRIGGER; Schema: app; Owner: postgres
--

CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON app.note FOR EACH ROW EXECUTE FUNCTION public.stamp();


--
-- Name: note note_author_fkey; Type: FK CONSTRAINT; Schema: app; Owner: postgres
--

ALTER TABLE ONLY app.note
    ADD CONSTRAINT note_author_fkey FOREIGN KEY (author) REFERENCES public.author(id) ON DELETE CASCADE;


--
-- Name: note; Type: ROW SECURITY; Schema: app; Owner: postgres
--

ALTER TABLE app.note ENABLE ROW LEVEL SECURITY;

--
-- Name: note own; Type: POLICY; Schema: app; Owner: postgres
--

CREATE POLICY own ON app.note USING ((author > 0));


--
-- Name: TABLE note; Type: ACL; Schema: app; Owner: postgres
--

GRANT SELECT ON TABLE app.note TO pg_monitor;


--
-- Name: DEFAULT PRIVILEGES FOR TABLES; Type: DEFAULT ACL; Schema: app; Owner: postgres
--

ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA app GRANT SELECT ON TABLES  TO pg_monitor;


--
-- PostgreSQL database dump complete
--

\unrestrict mdSgMegbLxdtngLnpHPPvml5472yw2egd0gXyle3GbsIXC0pGgZdMnu1xqQseMz
