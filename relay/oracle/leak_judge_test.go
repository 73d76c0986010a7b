package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// leakVersion is a row that was committed once: the old or the new one of an event of the history.
type leakVersion struct {
	values         map[string]string // canonical JSON by column
	created, ended time.Time         // of a new row: when it was committed, and when it was replaced; zero while it stands
}

// leakEvent is one write to a row, or a TRUNCATE; old and new are indexes of versions, -1 for none.
type leakEvent struct {
	op       string
	old, new int
}

// leakTable is what was ever committed to a table.
type leakTable struct {
	names    []string
	versions []leakVersion
	events   map[string][]leakEvent // by transaction
	contents map[string]map[string][]int
}

// leakJudge knows all rows and rules that there ever were, and asks Postgres which rows a rule shows to whom.
type leakJudge struct {
	conn     *pgx.Conn
	rules    *leakRules
	tables   map[string]*leakTable
	verdicts map[string][]bool // of a predicate on a table's versions
	asked    int
	grants   map[string]int // the rows that some rules show, as one of shown; -1: none of them grants the columns
	shown    [][]bool
	numbers  map[string]int
}

func newLeakJudge(ctx context.Context, conn *pgx.Conn, rules *leakRules) (*leakJudge, error) {
	j := &leakJudge{conn: conn, rules: rules, tables: map[string]*leakTable{}, verdicts: map[string][]bool{}, grants: map[string]int{}, numbers: map[string]int{}}
	if _, err := conn.Exec(ctx, `create index on leak.history (relation, seq); analyze leak.history; set search_path = pg_catalog`); err != nil {
		return nil, err
	}
	for relation := range leakTables {
		t, err := j.read(ctx, relation)
		if err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", relation, err)
		}
		j.tables[relation] = t
	}
	return j, nil
}

// versions is where a table's versions are for the time of the judgement.
func versionsOf(relation string) string {
	return "pg_temp." + strings.TrimPrefix(relation, "leak.") + "_versions"
}

// read makes the versions of a table and reads them in the protocol's form.
func (j *leakJudge) read(ctx context.Context, relation string) (*leakTable, error) {
	t := &leakTable{events: map[string][]leakEvent{}, contents: map[string]map[string][]int{}}
	_, err := j.conn.Exec(ctx, fmt.Sprintf(`create temp table %s as
		select h.seq, w.new, h.xid::text as xid, h.op, jsonb_populate_record(null::%s, w.j) as r, pg_xact_commit_timestamp(h.xid::xid) as at
		from leak.history h cross join lateral (values (false, h.o), (true, h.n)) w(new, j)
		where h.relation = '%[2]s' and (w.j is not null or h.op = 'TRUNCATE' and w.new)`, strings.TrimPrefix(versionsOf(relation), "pg_temp."), relation))
	if err != nil {
		return nil, err
	}
	names, expressions, err := columns(ctx, j.conn, relation)
	if err != nil {
		return nil, err
	}
	t.names = names
	rows, err := j.conn.Query(ctx, `select seq, new, xid, op, at, `+strings.Join(expressions, ", ")+` from (select seq, new, xid, op, at, (r).* from `+versionsOf(relation)+`) q order by seq, new`)
	if err != nil {
		return nil, err
	}
	var seq, last int64
	var isNew bool
	var xid, op string
	var at *time.Time
	values := make([]string, len(names))
	targets := []any{&seq, &isNew, &xid, &op, &at}
	for i := range values {
		targets = append(targets, &values[i])
	}
	standing := map[string]int{} // the version of each key
	_, err = pgx.ForEachRow(rows, targets, func() error {
		if at == nil {
			return fmt.Errorf("transaction %s has no commit time", xid)
		}
		events := t.events[xid]
		if seq != last || len(events) == 0 {
			events, last = append(events, leakEvent{op, -1, -1}), seq
		}
		v := leakVersion{values: map[string]string{}, created: *at}
		for i, name := range names {
			v.values[name] = string(canonical(json.RawMessage(values[i])))
		}
		n, e := len(t.versions), &events[len(events)-1]
		t.events[xid] = events
		key := v.key(leakTables[relation])
		switch {
		case op == "TRUNCATE":
			for _, old := range standing {
				t.versions[old].ended = *at
			}
			clear(standing)
		case isNew:
			e.new = n
			standing[key] = n
		default:
			e.old = n
			if old, ok := standing[key]; ok {
				t.versions[old].ended = *at
				delete(standing, key)
			}
		}
		t.versions = append(t.versions, v)
		return nil
	})
	return t, err
}

func (v *leakVersion) key(columns []string) string {
	var b strings.Builder
	for _, c := range columns {
		b.WriteString(v.values[c] + "\x00")
	}
	return b.String()
}

var claimNames = regexp.MustCompile(`'(sub|team|teams)'`)

// verdict asks Postgres on which versions a predicate is true for the claims; an error on a row is no.
func (j *leakJudge) verdict(ctx context.Context, relation, predicate, claims string) ([]bool, error) {
	var all, some map[string]any
	if err := json.Unmarshal([]byte(claims), &all); err != nil {
		return nil, err
	}
	some = map[string]any{}
	for _, name := range claimNames.FindAllStringSubmatch(predicate, -1) {
		if v, ok := all[name[1]]; ok {
			some[name[1]] = v
		}
	}
	read, err := json.Marshal(some)
	if err != nil {
		return nil, err
	}
	key := relation + "\x00" + predicate + "\x00" + string(read)
	if v, ok := j.verdicts[key]; ok {
		return v, nil
	}
	var answer string
	err = j.conn.QueryRow(ctx, `select coalesce(string_agg(case when (`+predicate+`) then '1' else '0' end, '' order by seq, new), '')
		from (select v.seq, v.new, (v.r).*, $1::jsonb as claims from `+versionsOf(relation)+` v) q`, claims).Scan(&answer)
	var failed *pgconn.PgError
	if errors.As(err, &failed) && !strings.HasPrefix(failed.Code, "42") {
		err = j.conn.QueryRow(ctx, `select coalesce(string_agg(case when leak.holds($1, r, $2) then '1' else '0' end, '' order by seq, new), '') from `+versionsOf(relation), predicate, claims).Scan(&answer)
	}
	if err != nil {
		return nil, fmt.Errorf("ask Postgres for %s: %w", predicate, err)
	}
	v := make([]bool, len(answer))
	for i := range answer {
		v[i] = answer[i] == '1'
	}
	if len(v) != len(j.tables[relation].versions) {
		return nil, fmt.Errorf("%d verdicts of %d versions", len(v), len(j.tables[relation].versions))
	}
	j.asked += len(v)
	j.verdicts[key] = v
	return v, nil
}

// grant is which rows the rules of a version show to somebody with these columns, as an index of shown; -1 where no rule
// grants all of them.
func (j *leakJudge) grant(ctx context.Context, version int, who *leakPerson, relation string, columns []string) (int, error) {
	key := fmt.Sprint(version, who.text, who.role, relation, columns)
	if n, ok := j.grants[key]; ok {
		return n, nil
	}
	var union []bool
	for _, rule := range j.rules.usable(version, who.role, relation) {
		if !rule.grants(columns) {
			continue
		}
		v, err := j.verdict(ctx, relation, rule.predicate, who.text)
		if err != nil {
			return 0, err
		}
		if union == nil {
			union = make([]bool, len(v))
		}
		for i := range v {
			union[i] = union[i] || v[i]
		}
	}
	n := -1
	if union != nil {
		content := make([]byte, len(union))
		for i, shown := range union {
			if shown {
				content[i] = 1
			}
		}
		var ok bool
		if n, ok = j.numbers[relation+string(content)]; !ok {
			n = len(j.shown)
			j.shown = append(j.shown, union)
			j.numbers[relation+string(content)] = n
		}
	}
	j.grants[key] = n
	return n, nil
}

// usable are the rules of a version that can be used.
func (r *leakRules) usable(version int, role, relation string) []leakRule {
	return slices.DeleteFunc(r.of(version, role, relation), func(rule leakRule) bool {
		return !slices.Contains(leakPredicates[relation][:leakUsable[r.capture][relation]], rule.predicate)
	})
}

// find are the new rows with these values.
func (t *leakTable) find(row map[string]string) []int {
	names := slices.Sorted(maps.Keys(row))
	by := strings.Join(names, " ")
	if t.contents[by] == nil {
		t.contents[by] = map[string][]int{}
		for _, events := range t.events {
			for _, e := range events {
				if e.new >= 0 {
					content := t.versions[e.new].key(names)
					t.contents[by][content] = append(t.contents[by][content], e.new)
				}
			}
		}
	}
	wanted := leakVersion{values: row}
	return t.contents[by][wanted.key(names)]
}

// has tells whether a version has these values.
func (t *leakTable) has(version int, values map[string]string) bool {
	if version < 0 {
		return false
	}
	for name, value := range values {
		if t.versions[version].values[name] != value {
			return false
		}
	}
	return true
}

var parameterName = regexp.MustCompile(`\$\d`)

// condition is where with its parameters as literals.
func (a *leakAsk) condition() string {
	return parameterName.ReplaceAllStringFunc(a.Where, func(name string) string {
		raw := a.Params[name[1]-'1']
		text := string(raw)
		switch raw[0] {
		case 'n':
			return "null"
		case '"':
			if json.Unmarshal(raw, &text) != nil {
				return ""
			}
		case '[':
			text = "{" + strings.Trim(text, "[]") + "}"
		}
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	})
}
