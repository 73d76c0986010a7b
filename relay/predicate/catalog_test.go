package predicate

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"pgrelay/relay/pgserver"
)

// envWriteCatalog names the environment variable with which TestCatalog writes catalog.txt anew.
const envWriteCatalog = "PGRELAY_WRITE_CATALOG"

// catalogQuery lists what resolution needs of Postgres' own objects, a line each; see catalog.go for the form.
const catalogQuery = `
with callable as (
  select p.* from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind in ('f', 'a', 'w')
    and not p.proargtypes::oid[] && array['internal', 'cstring']::regtype[]::oid[]
    and p.prorettype <> all (array['internal', 'cstring', 'trigger', 'event_trigger', 'language_handler', 'fdw_handler',
      'index_am_handler', 'table_am_handler', 'tsm_handler']::regtype[]::oid[])
)
select concat_ws(' ', 't', t.oid, t.typname, t.typcategory, t.typispreferred::int, t.typtype,
         case when t.typsubscript = 'array_subscript_handler'::regproc then t.typelem else 0 end, t.typarray,
         (t.typcollation <> 0)::int, coalesce((select rngsubtype from pg_range where rngtypid = t.oid), 0),
         (select provolatile from pg_proc where oid = t.typinput), (select provolatile from pg_proc where oid = t.typoutput),
         replace(format_type(t.oid, null), ' ', '_'))
  from pg_type t where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype in ('b', 'p', 'r', 'm')
    and (t.typrelid = 0) and not (t.typcategory = 'A' and (select typrelid from pg_type e where e.oid = t.typelem) <> 0)
union all
select concat_ws(' ', 'o', o.oprname, o.oprleft, o.oprright, o.oprresult, p.provolatile, p.proisstrict::int,
         case when p.prolang = 12 then p.prosrc else p.proname end)
  from pg_operator o join pg_proc p on p.oid = o.oprcode
  where not array[p.prorettype] && array['internal']::regtype[]::oid[]
union all
select concat_ws(' ', 'c', c.castsource, c.casttarget, c.castcontext, c.castmethod,
         coalesce(p.provolatile, 'i'), coalesce(p.pronargs, 0), coalesce(case when p.prolang = 12 then p.prosrc else p.proname end, '-'))
  from pg_cast c left join pg_proc p on p.oid = c.castfunc
  where c.castsource < 16384 and c.casttarget < 16384
union all
select concat_ws(' ', 'f', p.proname, p.prokind, p.provolatile, p.proisstrict::int, p.proretset::int, p.provariadic, p.pronargdefaults,
         p.prorettype, case when p.prolang = 12 then p.prosrc else p.proname || '/' || p.pronargs end, array_to_string(p.proargtypes::oid[], ','))
  from callable p`

// TestCatalog compares the embedded catalog with what 15 and 18 have in common.
func TestCatalog(t *testing.T) {
	common := readCatalog(t, 15)
	later := readCatalog(t, 18)
	for line := range common {
		if !later[line] {
			delete(common, line)
		}
	}
	got := strings.Join(slices.Sorted(maps.Keys(common)), "\n") + "\n"
	if os.Getenv(envWriteCatalog) != "" {
		if err := os.WriteFile("catalog.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != catalogText {
		t.Errorf("catalog.txt differs from what Postgres 15 and 18 have in common; write it anew with %s=1", envWriteCatalog)
	}
}

func readCatalog(t *testing.T, version int) map[string]bool {
	t.Helper()
	server := pgserver.ForTest(t, pgserver.Config{Version: version})
	conn, err := server.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), catalogQuery)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]bool{}
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines[strings.TrimSpace(line)] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
