-- The first admin, once. Any row of the leading SELECT means present: nothing is written then,
-- and a row is never changed. The insert's own guard is for a sign-up in between.

select username, email
from public.users
where username = %(admin_username)s or email = %(admin_email)s;

insert into public.users (username, password_hash, email, role, is_verified)
values (%(admin_username)s, %(admin_password_hash)s, %(admin_email)s, 'admin', true)
on conflict do nothing;
