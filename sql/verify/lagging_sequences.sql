-- A row is a table whose next id is taken already, as after a restore: inserts would fail.

with ids (table_name, max_id, next_id) as (
    select
        'users',
        (select max(id) from public.users),
        last_value + is_called::integer
    from public.users_id_seq
    union all
    select
        'works',
        (select max(id) from public.works),
        last_value + is_called::integer
    from public.works_id_seq
    union all
    select
        'certificates',
        (select max(id) from public.certificates),
        last_value + is_called::integer
    from public.certificates_id_seq
)

select table_name, max_id, next_id
from ids
where max_id >= next_id;
