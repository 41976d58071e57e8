"""Addresses: what is read equals libpq's reading, and nothing that is said holds a secret."""

import copy
import dataclasses
import json
import traceback
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from predeploy.contract.secret import Secret
from predeploy.settings.endpoint import (
    KEYWORDS,
    SECRET_KEYWORDS,
    URL_VARIABLES,
    VARIABLES,
    Endpoint,
    EndpointError,
    endpoint_from_environ,
    other_endpoints,
    parse_endpoint,
)

bounded = settings(max_examples=100, deadline=None)


def read(value: str) -> Endpoint:
    return parse_endpoint("DATABASE_URL", value)


def revealed(endpoint: Endpoint) -> dict[str, str]:
    return {k: v.reveal() if isinstance(v, Secret) else v for k, v in endpoint.parameters}


def refusal(value: str) -> str:
    with pytest.raises(EndpointError) as caught:
        read(value)
    return str(caught.value)


# what is understood


@pytest.mark.parametrize(
    "value",
    [
        "postgres://app:pw@db.internal:5432/shop",
        "postgresql://app:pw@db/shop",
        "postgres://app@db",
        "postgres://app:@db",
        "postgres://:pw@db",
        "postgres://@db/shop",
        "postgres://db:/shop",
        "postgres://db/shop?",
        "postgres://db/?dbname=shop",
        "postgres://db/shop?user=app&",
        "postgres://",
        "postgres:///shop",
        "postgres://app:pw@:5433/shop",
        "postgres://app@/shop?host=/cloudsql/project:region:db",
        "postgres://app:pw@localhost/shop?host=/cloudsql/project:region:db",
        "postgres://%2Frun%2Fpostgresql/shop",
        "postgres://h1:1,h2:2/shop",
        "postgres://h1,h2/shop",
        "postgres://h1:1,h2/shop",
        "postgres://h1:1,/shop",
        "postgres://h1%2Ch2/shop",
        "postgres://db/shop?host=h2,h3&port=1,2",
        "postgres://[::1]:5433/shop",
        "postgres://[::1],db/shop",
        "postgres://[fe80::1%25eth0]/shop",
        "postgres://a%40b:p%40%3A%2F%3F%23%25%20@db/sh%2Fop",
        "postgres://\u00fc:\u00e9%C3%A9@db/\u00f1",
        "postgres://app:a:b#c?d[e$f@db/shop",
        "postgres://db/a/b#c=d",
        "postgres://db/%20shop",
        "postgres://db/shop?password=p%26w&sslmode=verify-full&sslrootcert=system",
        "postgres://db/shop?ssl=true",
        "postgres://db/shop?ssl=true&sslmode=verify-full",
        "postgres://db/shop?application%5Fname=x+y",
        "postgres://db/shop?options=-c%20work_mem%3D1MB",
        "postgres://db/shop?hostaddr=10.0.0.1&connect_timeout=-1&keepalives=1",
        "postgres://db/shop?sslmode=require&channel_binding=require&sslnegotiation=direct",
        "postgres://h1,h2/shop?target_session_attrs=read-write&load_balance_hosts=random",
        "host=db port=5432 dbname=shop user=app password=pw",
        " host = db\tport=\n5432 ",
        "host='db'port=5432",
        r"host=db password='it\'s \\ o k'",
        r"host=db password=it\'s\ ok\\",
        "host=db password=a'b",
        "host=db password=''",
        "host=db password= dbname=shop",
        "host=db password=end\\",
        "host=db password=end\\ ",
        "host=db password=pw\u00a0pw",
        "host=h1,h2 hostaddr=10.0.0.1,10.0.0.2 port=5432",
        "service=shop",
    ],
)
def test_reads_what_libpq_reads(value: str) -> None:
    """A connection string that is accepted means to us what it means to libpq."""
    assert revealed(read(value)) == conninfo_to_dict(value)


@pytest.mark.skipif(pq.version() // 10000 != 18, reason="the lists are those of libpq 18")
def test_knows_every_parameter_of_libpq() -> None:
    """Our lists of parameters, variables and secrets are libpq's own."""
    options = pq.Conninfo.get_defaults()

    assert {option.keyword.decode() for option in options} == KEYWORDS
    assert dict(VARIABLES) == {
        option.keyword.decode(): option.envvar.decode() for option in options if option.envvar
    }
    assert {o.keyword.decode() for o in options if o.dispchar == b"*"} <= SECRET_KEYWORDS


plain = st.text("abz019_-.~!*()\u00e9\u4e2d", min_size=1, max_size=8)
anything = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
hosts = st.sampled_from(
    ["db", "db-1.internal", "10.0.0.1", "[::1]", "[2001:db8::7]", "%2Frun%2Fpg", "my_db", ""]
)
ports = st.one_of(st.just(""), st.integers(1, 65535).map(str))


@bounded
@given(
    user=anything,
    password=anything,
    nodes=st.lists(st.tuples(hosts, ports), min_size=1, max_size=3),
    dbname=anything,
    application=anything,
)
def test_percent_encoded_urls_come_back_as_they_were(
    user: str, password: str, nodes: list[tuple[str, str]], dbname: str, application: str
) -> None:
    """Every text survives percent-encoding, and libpq reads the same."""
    authority = ",".join(f"{host}:{port}" if port else host for host, port in nodes)
    value = (
        f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{authority}"
        f"/{quote(dbname, safe='')}?application_name={quote(application, safe='')}"
    )
    if "://" in user + dbname:
        return

    parameters = revealed(read(value))

    assert parameters == conninfo_to_dict(value)
    assert parameters.get("user", "") == user
    assert parameters.get("password", "") == password
    assert parameters.get("dbname", "") == dbname


def equals_libpq_if_accepted(value: str) -> None:
    try:
        endpoint = read(value)
    except EndpointError:
        return
    assert revealed(endpoint) == conninfo_to_dict(value)


url_tokens = st.sampled_from(
    [
        *"ab:@/?,[]#=&% \\$.'\u00e9",
        *("5432", "0", "::1", "%40", "%2F", "%2C", "%00", "%ff", "%C3%A9", "db"),
        *("host=", "port=", "user=", "dbname=", "password=", "sslmode=require"),
    ]
)


@bounded
@given(st.lists(url_tokens, max_size=12))
@example(["a", "?", "user=", "a", "@", "b"])
def test_no_url_is_accepted_that_libpq_reads_otherwise(tokens: list[str]) -> None:
    """Whatever the URL: it is refused, or libpq reads the same."""
    equals_libpq_if_accepted(f"postgres://{''.join(tokens)}".strip())


pair_tokens = st.sampled_from(
    [*"a'\\= \t\n", "5432", "\u00e9", "\u00a0", "host", "user=", "password=", "password='", "' "]
)


@bounded
@given(st.lists(pair_tokens, max_size=12))
def test_no_pairs_are_accepted_that_libpq_reads_otherwise(tokens: list[str]) -> None:
    """Whatever the key=value pairs: they are refused, or libpq reads the same."""
    equals_libpq_if_accepted("dbname=x " + "".join(tokens))


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ("postgres://app:pw@db.internal:5432/shop", "app@db.internal:5432/shop"),
        ("postgres://db", "db:5432"),
        ("postgres://app@h1:1,h2/shop", "app@h1:1,h2:5432/shop"),
        ("host=h1,h2 port=6432", "h1:6432,h2:6432"),
        ("postgres://[::1]:5433/shop", "[::1]:5433/shop"),
        ("postgres://%2Frun%2Fpg/shop", "/run/pg:5432/shop"),
        ("postgres:///shop", "(default socket):5432/shop"),
        ("hostaddr=10.0.0.1 user=app", "app@10.0.0.1:5432"),
        ("service=shop dbname=x", "service=shop/x"),
        ("service=shop host=db", "db:5432"),
        ("postgres://a%0Ab@db/x%1b", "a?b@db:5432/x?"),
    ],
)
def test_target_names_user_host_port_and_database(value: str, target: str) -> None:
    assert read(value).target == target


@pytest.mark.parametrize("space", [" ", "\n", "\r\n", "\t "])
def test_white_space_around_a_url_is_ignored(space: str) -> None:
    """A secret file ends with a newline; that is not part of the URL."""
    assert read(f"{space}postgres://app:pw@db/shop{space}") == read("postgres://app:pw@db/shop")


@pytest.mark.parametrize("suffix", ["psycopg", "psycopg2", "asyncpg", "pg8000", "whatever"])
@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_driver_suffix_is_stripped_and_noted(scheme: str, suffix: str) -> None:
    endpoint = read(f"{scheme}+{suffix}://app:pw@db/shop")

    assert endpoint.parameters == read("postgres://app:pw@db/shop").parameters
    assert endpoint.notes == ("the driver suffix of the URL's scheme was stripped",)


@pytest.mark.parametrize(
    "name",
    [
        *("pgbouncer", "connection_limit", "pool_timeout", "socket_timeout"),
        *("statement_cache_size", "sslaccept", "prepared_statements", "prepareThreshold"),
        *("pool_mode", "supa", "uselibpqcompat"),
    ],
)
def test_parameters_of_other_drivers_are_stripped_and_noted(name: str) -> None:
    """ORMs and poolers put parameters into URLs that libpq refuses."""
    endpoint = read(f"postgres://db/shop?{name}=Q&application_name=x&{name}=Q")

    assert revealed(endpoint) == {"host": "db", "dbname": "shop", "application_name": "x"}
    assert set(endpoint.notes) == {f"the parameter {name} is not libpq's and was stripped"}


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        ("ssl=true", "require"),
        ("ssl=1", "require"),
        ("ssl=no-verify", "require"),
        ("ssl=verify-full", "verify-full"),
        ("ssl=false", None),
        ("ssl=true&sslmode=disable", "disable"),
        ("sslmode=disable&ssl=true", "disable"),
    ],
)
def test_ssl_means_sslmode_unless_that_is_given(query: str, mode: str | None) -> None:
    endpoint = read(f"postgres://db/shop?{query}")

    assert revealed(endpoint).get("sslmode") == mode
    assert endpoint.notes == ("the parameter ssl is not libpq's; sslmode is used instead",)


@pytest.mark.parametrize(
    ("value", "note"),
    [
        ("postgres://db?options=-cx", "the parameter options is refused by most poolers"),
        ("postgres:///shop", "no host is named: libpq's default socket is used"),
        ("postgres://db?host=/run", "the host in the URL's query replaces the one before it"),
    ],
)
def test_what_may_surprise_is_noted(value: str, note: str) -> None:
    assert read(value).notes == (note,)


# what is refused

ADVICE = "in a URL's user name or password, write @ / : ? # % as %40 %2F %3A %3F %23 %25"


@pytest.mark.parametrize(
    "value",
    [
        "postgres://app:QQQ@ZZZ@db/shop",
        "postgres://app:QQQ/ZZZ@db/shop",
        "postgres://app:12/ZZZ@db/shop",
        "postgres://app:12?ZZZ=QQQ@db/shop",
        "postgres://app?ZZZ@db/shop",
        "postgres://db?user=QQQ@ZZZ",
        "postgres://db/shop?user=QQQ@ZZZ",
        "postgres://app:QQQZ",
        "postgres://app:QQQZ/shop",
        "postgres://app:Q?ZZZZ=Q",
        "postgres://app:pw@QQ%40ZZ/shop",
        "postgres://app:pw@QQ\\ZZ/shop",
        "postgres://app:pw@Q[Z/shop",
        "postgres://[::1/shop",
        "postgres://[::1]Q/shop",
        "postgres://[]/shop",
        "postgres://db:Q/shop",
        "postgres://app:QQ ZZ@db/shop",
        "postgres://app:QQ\nZZ@db/shop",
        "postgres://app:QQ\u00a0ZZ@db/shop",
        "postgres://db?QQQ",
        "postgres://db?QQQ=Z=Z",
        "postgres://db?&user=Q",
        "postgres://db?password=Q&ZZZZ=Q",
    ],
)
def test_a_url_that_cannot_be_meant_so_is_refused_with_advice(value: str) -> None:
    """Unescaped characters show as several @, strange hosts, ports that are no numbers."""
    message = refusal(value)

    assert ADVICE in message
    assert not set("QZ") & set(message)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("postgres://a:b\udcff@db", "it is not valid UTF-8, or holds a NUL character"),
        ("host=db password=a\0b", "it is not valid UTF-8, or holds a NUL character"),
        ("'postgres://db/shop'", "it is wrapped in quotes; remove them"),
        ("postgres://a:Q%Z@db", "a % in user name or password must be written as %25"),
        ("postgres://a:Q%2@db", "a % in user name or password must be written as %25"),
        ("postgres://a:Q%00@db", "a % in user name or password must be written as %25"),
        ("postgres://a:Q%ff@db", "a % in user name or password must be written as %25"),
        ("postgres://[fe80::1%eth0]", "a % in user name or password must be written as %25"),
        ("postgres://db?port=0", f"port must be a number from 1 to 65535; {ADVICE}"),
        ("postgres://db?bogus=1", "the parameter bogus is not one of libpq's; remove it"),
        ("postgres://db?requiressl=1", "the parameter requiressl is not one of libpq's; remove it"),
        ("host=db bogus=1", "the parameter bogus is not one of libpq's; remove it"),
        ("postgres://db?user=a&user=b", "user is given twice"),
        ("postgres://a@db?user=b", "user is given twice"),
        ("postgres://a:b@db?password=b", "password is given twice"),
        ("postgres://db/x?dbname=y", "dbname is given twice"),
        ("host=a host=b", "host is given twice"),
        ("dbname=postgres://a:Q@db", "dbname cannot be a URL"),
        ("host=db user=postgres://Q", "user cannot be a URL"),
        ("host=a hostaddr=db", "hostaddr must be an IP address"),
        ("host=a,b hostaddr=10.0.0.1", "host and hostaddr must name equally many"),
        ("host=a port=1,2", "there must be one port, or as many as hosts"),
        ("host=a connect_timeout=1.5", "connect_timeout must be a whole number"),
        ("host=a keepalives_idle=", "keepalives_idle must be a whole number"),
        (
            "host=a sslrootcert=system sslmode=require",
            "sslrootcert=system needs sslmode=verify-full",
        ),
        ("host=a sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require or stronger"),
    ],
)
def test_a_wrong_value_is_refused_in_our_own_words(value: str, words: str) -> None:
    assert refusal(value) == f"DATABASE_URL: {words}"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("sslmode", "REQUIRE"),
        ("sslmode", ""),
        ("target_session_attrs", "master"),
        ("channel_binding", "yes"),
        ("gssencmode", "no"),
        ("load_balance_hosts", "on"),
        ("sslnegotiation", "Direct"),
        ("sslcertmode", "x"),
    ],
)
def test_a_value_outside_its_list_is_refused_with_the_list(keyword: str, value: str) -> None:
    assert f"{keyword} must be one of: " in refusal(f"postgres://db?{keyword}={value}")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "+1", "1.0", "x", "\u0661", "5432 "])
def test_a_port_outside_1_to_65535_is_refused(port: str) -> None:
    assert "port must be a number from 1 to 65535" in refusal(f"postgres://db?port={quote(port)}")


@pytest.mark.parametrize(
    "value",
    [
        "${{Postgres.DATABASE_URL}}",
        "$DATABASE_URL",
        "${DATABASE_URL}",
        "${DATABASE_URL:-}",
        "$(DATABASE_URL)",
        "{{ .Values.url }}",
        "postgres://app:${PGPASSWORD}@db/shop",
        "postgres://app:pw@$PGHOST/shop",
        "postgres://${{shared.USER}}:pw@db/shop",
    ],
)
def test_an_unexpanded_reference_is_told_as_such(value: str) -> None:
    assert "still holds a reference that the platform did not expand" in refusal(value)


@pytest.mark.parametrize(
    "value",
    [
        "QQQQZZZZ",
        "QQQQ=",
        "QQQQ=ZZZZ",
        "=Q",
        "host='QQ",
        "mysql://a:QQQ@db",
        "jdbc:postgresql://db?user=a",
        "POSTGRES://QQ:ZZ@db",
        "psql postgres://a:QQ@db",
        "DATABASE_URL=postgres://a:QQ@db",
    ],
)
def test_what_is_no_connection_string_is_refused_unseen(value: str) -> None:
    """The value may be a bare password that was put into the wrong variable."""
    message = refusal(value)

    assert "neither a postgresql:// URL nor libpq's key=value pairs" in message
    assert not set("QZ") & set(message)


# what is never said

# no word of ours holds one of these letters, so that a single one of them is a leak
secret_letters = "QXZJ\u0416\u4e2d"
passwords = st.text(f"{secret_letters}{secret_letters}@/:?#%&=+ '\"\\[]{{}}$,;.-\t\n\0", min_size=1)
templates = st.sampled_from(
    [
        "postgresql://app:{}@db.internal:5432/shop",
        "postgresql+psycopg://app:{}@db/shop?sslmode=require",
        "postgres://app:{}@h1:1,h2:2/shop?pgbouncer=true&bogus=1",
        "postgres://app:{}@[::1]/shop",
        "postgres://app:{}@/shop?host=/run",
        "postgres://db/shop?user=app&password={}",
        "postgres://db/shop?password={}&user=app",
        "host=db password={} dbname=shop",
        "host=db password='{}' dbname=shop",
        "password={}",
        "{}",
        "{}=",
    ]
)


@bounded
@given(template=templates, password=passwords, safe=st.sampled_from(["", None]))
def test_nothing_that_is_said_holds_a_piece_of_the_password(
    template: str, password: str, safe: str | None
) -> None:
    """However it is written into the string: no message, repr, note or target shows any of it."""
    value = template.format(password if safe is None else quote(password, safe=safe))
    try:
        endpoint = read(value)
    except EndpointError as error:
        said = [str(error), repr(error), *traceback.format_exception_only(error)]
    else:
        said = [repr(endpoint), str(endpoint), endpoint.target, *endpoint.notes]

    assert not set(secret_letters) & set("".join(said))


@pytest.mark.parametrize("keyword", sorted(SECRET_KEYWORDS))
def test_secret_parameters_are_wrapped(keyword: str) -> None:
    endpoint = read(f"postgres://db?{keyword}=QQ")

    assert dict(endpoint.parameters)[keyword] == Secret("QQ")
    assert "QQ" not in repr(endpoint)


def test_a_secret_shows_itself_only_when_it_is_asked_to() -> None:
    secret = Secret("QQ")

    assert [repr(secret), str(secret), f"{secret}", f"{[secret]}"] == ["***", "***", "***", "[***]"]
    assert "QQ" not in json.dumps({"x": secret}, default=str)
    assert "QQ" not in repr(dataclasses.asdict(read("postgres://a:QQ@db")))
    assert secret.reveal() == "QQ"


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a") == Secret("a") == copy.deepcopy(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_no_trace_of_the_value_hangs_on_the_error() -> None:
    """A traceback prints causes and contexts: they must be as silent as the message."""
    with pytest.raises(EndpointError) as caught:
        read("postgres://a:QQ%ffZZ@db")

    assert not set("QZ") & set("".join(traceback.format_exception_only(caught.value)))
    assert caught.value.__cause__ is None
    assert not set("QZ") & set(repr(caught.value.__context__))


# which variable wins


def test_precedence_of_the_url_variables() -> None:
    """The dedicated variable is first, the direct ones come before the pooled one."""
    assert URL_VARIABLES == (
        "MIGRATION_DATABASE_URL",
        "DATABASE_UNPOOLED_URL",
        "DIRECT_DATABASE_URL",
        "DIRECT_URL",
        "DATABASE_URL_UNPOOLED",
        "POSTGRES_URL_NON_POOLING",
        "DATABASE_URL",
    )


@pytest.mark.parametrize("index", range(len(URL_VARIABLES)))
def test_the_first_variable_that_is_set_wins(index: int) -> None:
    environ = {name: f"postgres://{name.lower()}" for name in URL_VARIABLES[index:]}
    environ |= dict.fromkeys(URL_VARIABLES[:index], " \n")

    endpoint = endpoint_from_environ(environ)

    assert endpoint == parse_endpoint(
        URL_VARIABLES[index], f"postgres://{URL_VARIABLES[index]}".lower()
    )


def test_an_invalid_winner_is_an_error() -> None:
    """A mistake in the first variable never lets the job run against the second's database."""
    environ = {"DIRECT_URL": "postgres://a:b:c", "DATABASE_URL": "postgres://db"}

    with pytest.raises(EndpointError, match=r"^DIRECT_URL: "):
        endpoint_from_environ(environ)


@pytest.mark.parametrize("environ", [{}, {"DATABASE_URL": ""}, {"PGPORT": "1", "PGUSER": "a"}])
def test_nothing_set_is_no_endpoint(environ: dict[str, str]) -> None:
    """By itself libpq would take its default socket; nobody meant that."""
    assert endpoint_from_environ(environ) is None


def test_pg_variables_are_taken_explicitly() -> None:
    environ = {
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGUSER": "app",
        "PGPASSWORD": "QQ",
        "PGDATABASE": "shop",
        "PGSSLMODE": "require",
        "PGAPPNAME": "x",
        "PGTZ": "UTC",
        "PGOPTIONS": "",
    }

    assert endpoint_from_environ(environ) == Endpoint(
        variable="PGHOST",
        parameters=(
            ("application_name", "x"),
            ("dbname", "shop"),
            ("host", "db"),
            ("password", Secret("QQ")),
            ("port", "5433"),
            ("sslmode", "require"),
            ("user", "app"),
        ),
        notes=(),
    )


def test_pg_variables_fill_in_what_a_url_does_not_name() -> None:
    """So does libpq, unseen; here it is checked, noted, and may come from a file."""
    environ = {
        "DATABASE_URL": "postgres://app@db/shop",
        "PGUSER": "other",
        "PGPASSWORD": "QQ",
        "PGPORT": "5433",
    }

    endpoint = endpoint_from_environ(environ)

    assert endpoint is not None
    assert endpoint.variable == "DATABASE_URL"
    assert revealed(endpoint) == {
        "user": "app",
        "password": "QQ",
        "host": "db",
        "port": "5433",
        "dbname": "shop",
    }
    assert endpoint.notes == ("password is taken from PGPASSWORD", "port is taken from PGPORT")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"PGHOST": "db", "PGPORT": "tcp://x"}, "PGHOST: PGPORT must be a number from 1 to 65535"),
        (
            {"PGHOST": "a b"},
            "PGHOST: PGHOST cannot be the name of a host or the folder of a socket",
        ),
        ({"PGHOSTADDR": "db"}, "PGHOSTADDR: PGHOSTADDR must be an IP address"),
        (
            {"DATABASE_URL": "postgres://db", "PGCONNECT_TIMEOUT": "x"},
            "DATABASE_URL: PGCONNECT_TIMEOUT must be a whole number",
        ),
        (
            {"PGHOST": "db", "PGPASSWORD": "\udcff"},
            "PGHOST: PGPASSWORD must be UTF-8 without NUL characters",
        ),
    ],
)
def test_a_wrong_pg_variable_is_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(EndpointError) as caught:
        endpoint_from_environ(environ)

    assert str(caught.value) == words


@pytest.mark.parametrize(
    "environ",
    [
        {"PGSERVICE": "shop", "PGPORT": "1", "PGPASSWORD": "QQ"},
        {"DATABASE_URL": "service=shop", "PGPORT": "1", "PGPASSWORD": "QQ"},
    ],
)
def test_a_service_file_comes_before_pg_variables(environ: dict[str, str]) -> None:
    """The service is read first by libpq: what we passed explicitly would take its place."""
    endpoint = endpoint_from_environ(environ)

    assert endpoint is not None
    assert revealed(endpoint) == {"service": "shop", "password": "QQ"}
    assert endpoint.target == "service=shop"


def test_the_other_variables_are_kept_for_a_way_round_a_pooler() -> None:
    """What stands behind the one that wins is kept in order; not what is the same or invalid."""
    environ = {
        "DIRECT_URL": "postgres://pooler:6432/shop",
        "DATABASE_URL_UNPOOLED": "postgres://pooler:6432/shop",
        "POSTGRES_URL_NON_POOLING": "postgres://db:notaport/shop",
        "DATABASE_URL": "postgres://db/shop",
        "PGHOST": "internal",
    }

    assert [(e.variable, e.target) for e in other_endpoints(environ)] == [
        ("DATABASE_URL", "db:5432/shop"),
        ("PGHOST", "internal:5432"),
    ]
    assert other_endpoints({"DATABASE_URL": "postgres://db/shop"}) == ()
