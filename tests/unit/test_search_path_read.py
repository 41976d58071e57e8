"""The search_path of a connection string: what it means, and what cannot be meant."""

import pytest

from predeploy.contract.search_path import read_names
from predeploy.settings.endpoint import EndpointError, endpoint_from_environ, parse_endpoint


def names(query: str) -> tuple[str, ...] | None:
    path = parse_endpoint("DATABASE_URL", f"postgres://db/shop?{query}").search_path
    return path.names if path else None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", None),
        ("sslmode=require", None),
        # Prisma quotes its one name, so its case counts and a comma is part of it.
        ("schema=app", ("app",)),
        ("schema=MySchema", ("MySchema",)),
        ("schema=My%20Schema", ("My Schema",)),
        ("schema=a%2Cb", ("a,b",)),
        # Go's drivers and JDBC hand a list to the server, which folds what is not quoted.
        ("search_path=app", ("app",)),
        ("search_path=App,public", ("app", "public")),
        ("search_path=%22My%20Schema%22,%20public", ("My Schema", "public")),
        ("search_path=%22a%22%22b%22", ('a"b',)),
        ("search_path=%22%24user%22,app", ("$user", "app")),
        ("currentSchema=app,public", ("app", "public")),
        # libpq's way, as the server reads the options
        ("options=-csearch_path%3Dapp", ("app",)),
        ("options=-c%20search_path%3Dapp,public", ("app", "public")),
        ("options=-c%20search_path%3Dapp%5C,%5C%20public", ("app", "public")),
        ("options=--search-path%3Dapp", ("app",)),
        ("options=-c%20Search_Path%3Dapp", ("app",)),
        ("options=-csearch_path%3Da%20-csearch_path%3Db", ("b",)),
        ("options=-csearch_path%3D", ()),
        ("options=-c%20work_mem%3D1MB", None),
        ("schema=app&search_path=app&options=-csearch_path%3Dapp", ("app",)),
    ],
)
def test_each_drivers_word_for_the_search_path_is_understood(
    query: str, expected: tuple[str, ...] | None
) -> None:
    """What a URL says of schemas means to us what it means to the driver that it is written for."""
    assert names(query) == expected


def test_a_search_path_in_the_options_is_no_startup_option() -> None:
    """Poolers refuse `options`, so the path is taken out of them; what else is there stays."""
    plain = parse_endpoint("X", "postgres://db/shop?options=-csearch_path%3Dapp")
    more = parse_endpoint(
        "X",
        "postgres://db/shop?options=endpoint%3Dep-1%20-c%20search_path%3Dapp%20-c%20work_mem%3D1MB",
    )

    assert plain.parameters == (("dbname", "shop"), ("host", "db"))
    assert plain.notes == ()
    assert dict(more.parameters)["options"] == "endpoint=ep-1 -c work_mem=1MB"
    assert more.search_path == plain.search_path


def test_the_parameters_of_other_drivers_are_not_sent_to_libpq() -> None:
    for query in ("schema=app", "search_path=app", "currentSchema=app"):
        endpoint = parse_endpoint("X", f"postgres://db/shop?{query}")

        assert endpoint.parameters == (("dbname", "shop"), ("host", "db"))


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("schema=", "schema must be the name of a schema, such as app"),
        ("schema=%20", "schema must be the name of a schema, such as app"),
        ("search_path=", "search_path must be a list of schemas, such as app,public"),
        ("search_path=app,", "search_path must be a list of schemas, such as app,public"),
        (
            "currentSchema=app%20public",
            "currentSchema must be a list of schemas, such as app,public",
        ),
        ("search_path=%22app", "search_path must be a list of schemas, such as app,public"),
        (
            "options=-csearch_path%3Da,",
            "search_path in options must be a list of schemas, such as app,public",
        ),
        (
            "schema=a&search_path=b",
            "schema and search_path give different schemas; keep one of them",
        ),
        (
            "schema=a&options=-csearch_path%3Db",
            "schema and options give different schemas; keep one of them",
        ),
        ("schema=a&schema=a", "schema is given twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(query: str, why: str) -> None:
    """Two answers, or none, to the question where the app looks are no answer."""
    with pytest.raises(EndpointError) as caught:
        names(query)

    assert str(caught.value) == f"DATABASE_URL: {why}"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PGHOST": "db", "PGOPTIONS": "-csearch_path=app"}, ("app",)),
        ({"DATABASE_URL": "postgres://db/shop", "PGOPTIONS": "-csearch_path=app"}, ("app",)),
        (
            {"DATABASE_URL": "postgres://db/shop?schema=own", "PGOPTIONS": "-csearch_path=app"},
            ("own",),
        ),
        (
            {
                "DATABASE_URL": "postgres://db/shop?options=-csearch_path%3Down",
                "PGOPTIONS": "-csearch_path=app",
            },
            ("own",),
        ),
    ],
)
def test_pgoptions_give_the_path_that_the_address_does_not(
    environ: dict[str, str], expected: tuple[str, ...]
) -> None:
    """As in libpq: PGOPTIONS fill in what the URL leaves open."""
    endpoint = endpoint_from_environ(environ)

    assert endpoint is not None
    assert endpoint.search_path is not None
    assert endpoint.search_path.names == expected
    assert "options" not in dict(endpoint.parameters)


def test_an_address_that_names_other_schemas_is_noted() -> None:
    """DIRECT_URL wins over DATABASE_URL, and may have been given no schema by mistake."""
    environ = {
        "DIRECT_URL": "postgres://db/shop",
        "DATABASE_URL": "postgres://pooler/shop?schema=app",
    }

    endpoint = endpoint_from_environ(environ)
    same = endpoint_from_environ(environ | {"DIRECT_URL": "postgres://db/shop?search_path=app"})

    assert endpoint is not None
    assert endpoint.notes == (
        'DATABASE_URL names other schemas ("app"), which do not count: DIRECT_URL is used',
    )
    assert same is not None
    assert same.notes == ()


def test_names_are_folded_as_the_server_folds_them() -> None:
    """ASCII letters become small; others, and what is quoted, stay."""
    assert read_names(' ÄPP ,"Ä" ') == ("Äpp", "Ä")
    assert read_names(" ") == ()
