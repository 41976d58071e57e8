create table note (id integer primary key);
create aggregate share(double precision order by double precision) (
    sfunc = ordered_set_transition, stype = internal, finalfunc = percentile_disc_final, finalfunc_extra);
create aggregate place(variadic "any" order by variadic "any") (
    sfunc = ordered_set_transition_multi, stype = internal, finalfunc = rank_final, finalfunc_extra, hypothetical);
create aggregate total(integer) (sfunc = int4pl, stype = integer, finalfunc_modify = shareable);
comment on aggregate share(double precision order by double precision) is 'the share';
