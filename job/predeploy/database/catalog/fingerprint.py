"""A hash that changes with all DDL: (oid, xmin) of the catalog rows that describe the schema.

DDL never updates a catalog row in place, so its xmin changes. VACUUM, ANALYZE, nextval and changes
of table rows leave it unchanged; REINDEX, TRUNCATE, VACUUM FULL and REFRESH change it, which costs
one full run. The ledger's own schema, temporary tables and TOAST are left out.
"""

from predeploy.contract.quoting import FIRST_USER_OID, literal

# User objects have OIDs from here on (FirstNormalObjectId in access/transam.h).

# For each catalog: what identifies a row, and the OID that tells whether it is a user's.
_BY_OID = (
    "pg_am", "pg_amop", "pg_amproc", "pg_cast", "pg_collation", "pg_conversion",
    "pg_event_trigger", "pg_extension", "pg_foreign_data_wrapper", "pg_foreign_server",
    "pg_language", "pg_opclass", "pg_operator", "pg_opfamily", "pg_policy", "pg_publication",
    "pg_publication_namespace", "pg_publication_rel", "pg_statistic_ext", "pg_transform",
    "pg_ts_config", "pg_ts_dict", "pg_ts_parser", "pg_ts_template",
)  # fmt: skip
# Rows that belong to a relation; those of the ledger and of temporary relations do not count.
_BY_RELATION = (
    ("pg_attribute", "attrelid", "attrelid::text || '.' || attnum"),
    ("pg_attrdef", "adrelid", "oid::text"),
    ("pg_index", "indrelid", "indexrelid::text"),
    ("pg_inherits", "inhrelid", "inhrelid::text || '.' || inhseqno"),
    ("pg_partitioned_table", "partrelid", "partrelid::text"),
    ("pg_rewrite", "ev_class", "oid::text"),
    ("pg_sequence", "seqrelid", "seqrelid::text"),
    ("pg_trigger", "tgrelid", "oid::text"),
    ("pg_foreign_table", "ftrelid", "ftrelid::text"),
)
_BY_NAMESPACE = (
    ("pg_class", "relnamespace"),
    ("pg_constraint", "connamespace"),
    ("pg_proc", "pronamespace"),
    ("pg_type", "typnamespace"),
)


def fingerprint_sql(ledger_schema: str) -> str:
    """Return a parenthesized expression whose value is the fingerprint, 32 hex digits."""
    return (
        "(select md5(string_agg(f.kind || ':' || f.id || ':' || f.xmin, ',' "
        'order by f.kind, f.id collate "C")) '
        f"from ({rows_sql(ledger_schema)}) f(kind, id, xmin))"
    )


def rows_sql(ledger_schema: str) -> str:
    """Return the query behind it: the catalog, the row's identity in it, and its xmin."""
    theirs = f"""(select oid from pg_catalog.pg_namespace
        where nspname !~ '^pg_(toast|temp_|toast_temp_)' and nspname <> {literal(ledger_schema)})"""
    relations = f"""(select oid from pg_catalog.pg_class
        where relnamespace in {theirs} and oid >= {FIRST_USER_OID})"""
    parts = [
        f"""select 'pg_namespace', oid::text, xmin from pg_catalog.pg_namespace
            where oid in {theirs}""",
        *(
            f"""select '{name}', oid::text, xmin from pg_catalog.{name}
                where oid >= {FIRST_USER_OID}"""
            for name in _BY_OID
        ),
        *(
            f"""select '{name}', oid::text, xmin from pg_catalog.{name}
                where {namespace} in {theirs} and oid >= {FIRST_USER_OID}"""
            for name, namespace in _BY_NAMESPACE
        ),
        *(
            f"""select '{name}', {identity}, xmin from pg_catalog.{name}
                where {relation} in {relations}"""
            for name, relation, identity in _BY_RELATION
        ),
        """select 'pg_ts_config_map', mapcfg || '.' || maptokentype || '.' || mapseqno, xmin
            from pg_catalog.pg_ts_config_map""",
        "select 'pg_enum', oid::text, xmin from pg_catalog.pg_enum",
        "select 'pg_default_acl', oid::text, xmin from pg_catalog.pg_default_acl",
        f"""select 'pg_aggregate', aggfnoid::oid::text, xmin from pg_catalog.pg_aggregate
            where aggfnoid::oid >= {FIRST_USER_OID}""",
        f"""select 'pg_range', rngtypid::text, xmin from pg_catalog.pg_range
            where rngtypid >= {FIRST_USER_OID}""",
        f"""select 'pg_description', classoid::text || '.' || objoid || '.' || objsubid, xmin
            from pg_catalog.pg_description where objoid >= {FIRST_USER_OID}
            or classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass""",
        f"""select 'pg_seclabel', classoid::text || '.' || objoid || '.' || objsubid || provider,
            xmin from pg_catalog.pg_seclabel where objoid >= {FIRST_USER_OID}""",
        # Membership in an extension is recorded here alone.
        f"""select 'pg_depend', classid::text || '.' || objid || '.' || refobjid, xmin
            from pg_catalog.pg_depend where deptype = 'e' and objid >= {FIRST_USER_OID}""",
        """select 'pg_db_role_setting', setdatabase::text || '.' || setrole, xmin
            from pg_catalog.pg_db_role_setting where setdatabase in
            (0, (select oid from pg_catalog.pg_database where datname = current_database()))""",
    ]
    return " union all ".join(parts)
