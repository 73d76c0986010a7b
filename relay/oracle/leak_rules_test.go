package oracle

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// leakPredicates are what rules come to say of each table. The last ones can't be used: they deny.
var leakPredicates = map[string][]string{
	"leak.notes": {
		`owner = claims ->> 'sub'`, `owner = claims ->> 'sub' or team = (claims ->> 'team')::int`, `team = (claims ->> 'team')::int and secret is not true`,
		`secret is not true`, `secret is null`, `state in ('open', 'busy')`, `state > 'open' and amount < 50`, `amount between 10 and 60 and owner <> claims ->> 'sub'`,
		`100 / (team - 2) > 30`, `true`, `false`, `owner is distinct from claims ->> 'sub'`, `claims -> 'teams' @> team::text::jsonb`, `owner like 'u%' and id % 2 = (claims ->> 'team')::int % 2`,
		`owner = claims ->>`, `nobody = 1`, `owner < 'x'`, `exists (select from leak.notes)`,
	},
	"leak.keyed": {`tenant = (claims ->> 'team')::int`, `id % 2 = 0`, `tenant in (1, 2) or id < 20`, `true`, `tenant <> (claims ->> 'team')::int`, `60 / (id - 30) > 0`, `n = 1`},
	"leak.bag":   {`owner = claims ->> 'sub'`, `n < 3`, `owner is null`, `true`, `n = (claims ->> 'team')::int or owner = 'u1'`, `1 / n = 1`, `owner ~ 'u'`},
	"leak.parts": {`owner = claims ->> 'sub'`, `region = 1`, `n > 20 and owner is not null`, `true`, `owner is null or region = (claims ->> 'team')::int % 2`, `region`},
}

// leakUsable tells how many of a table's predicates can be used. That of leak.keyed reads a column that its replica identity
// doesn't carry, but triggers do.
var leakUsable = map[relay.Capture]map[string]int{
	relay.CaptureLogical: {"leak.notes": 14, "leak.keyed": 6, "leak.bag": 6, "leak.parts": 5},
	relay.CaptureTrigger: {"leak.notes": 14, "leak.keyed": 7, "leak.bag": 6, "leak.parts": 5},
}

var leakColumns = map[string][]string{
	"leak.notes": {"", "{body,owner}", "{owner,team,body,secret}", "{state,amount,body,owner}", "{amount}"},
	"leak.keyed": {"", "{body}", "{n}"}, "leak.bag": {"", "{n,body}", "{owner,n,body}"}, "leak.parts": {"", "{owner,body}", "{n,owner}"},
}

// leakRule is a row of the rules' table.
type leakRule struct {
	name, relation, predicate string
	roles                     []string
	columns                   string // empty: all
	enabled                   bool
}

func (r *leakRule) grants(columns []string) bool {
	if r.columns == "" {
		return true
	}
	have := strings.Split(strings.Trim(r.columns, "{}"), ",")
	return !slices.ContainsFunc(columns, func(c string) bool { return !slices.Contains(have, c) })
}

// leakRules edits the rules and knows all that they ever were: version i is what they are from its edit on.
type leakRules struct {
	conn    *pgx.Conn
	rnd     *rand.Rand
	capture relay.Capture

	mu       sync.Mutex
	versions []map[string]leakRule
	// started is the last version whose edit has begun, and inForce the last that holds on every connection.
	started, inForce int
}

func (r *leakRules) bounds() (inForce, started int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inForce, r.started
}

// newLeakRules stores the first rules: for everybody who is signed in, for anon, and for staff.
func newLeakRules(ctx context.Context, conn *pgx.Conn, rnd *rand.Rand, capture relay.Capture) (*leakRules, error) {
	r := &leakRules{conn: conn, rnd: rnd, capture: capture, versions: []map[string]leakRule{{}}}
	for relation := range leakTables {
		for kind, roles := range map[string][]string{"people": {}, "anon": {"anon"}, "staff": {"staff", "auditor"}} {
			rule := leakRule{name: relation + " " + kind, relation: relation, roles: roles, predicate: r.predicate(relation, false), enabled: true}
			rule.columns = r.columns(relation)
			if err := r.store(ctx, rule, true); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (r *leakRules) predicate(relation string, any bool) string {
	all := leakPredicates[relation]
	if !any {
		all = all[:leakUsable[r.capture][relation]]
	}
	return all[r.rnd.IntN(len(all))]
}

func (r *leakRules) columns(relation string) string {
	return leakColumns[relation][r.rnd.IntN(len(leakColumns[relation]))]
}

// store makes one edit; keep is false where the rule is deleted.
func (r *leakRules) store(ctx context.Context, rule leakRule, keep bool) error {
	r.mu.Lock()
	next := maps.Clone(r.versions[len(r.versions)-1])
	if keep {
		next[rule.name] = rule
	} else {
		delete(next, rule.name)
	}
	r.versions = append(r.versions, next)
	r.started++
	r.mu.Unlock()
	const table = "web_socket_event_system_events.rules"
	query := `delete from ` + table + ` where name = $1`
	args := []any{rule.name}
	if keep {
		query = `insert into ` + table + ` (name, relation, roles, predicate, columns, enabled) values ($1, $2, $3, $4, nullif($5, '')::text[], $6)
			on conflict (name) do update set roles = excluded.roles, predicate = excluded.predicate, columns = excluded.columns, enabled = excluded.enabled`
		args = append(args, rule.relation, rule.roles, rule.predicate, rule.columns, rule.enabled)
	}
	if _, err := r.conn.Exec(ctx, query, args...); err != nil {
		return fmt.Errorf("edit the rule %s: %w", rule.name, err)
	}
	return nil
}

// edit changes one rule at random.
func (r *leakRules) edit(ctx context.Context) error {
	r.mu.Lock()
	now := r.versions[len(r.versions)-1]
	r.mu.Unlock()
	relations := slices.Sorted(maps.Keys(leakTables))
	relation := relations[min(r.rnd.IntN(6), 3)%4]
	kinds := []string{"people", "people", "anon", "staff"}
	name := relation + " " + kinds[r.rnd.IntN(4)]
	rule, there := now[name]
	if !there {
		return r.store(ctx, leakRule{name: name, relation: relation, roles: []string{}, predicate: r.predicate(relation, false), enabled: true}, true)
	}
	switch n := r.rnd.IntN(20); {
	case n < 6:
		rule.predicate = r.predicate(relation, false)
	case n < 9:
		rule.predicate = r.predicate(relation, true)
	case n < 15:
		rule.columns = r.columns(relation)
	case n < 17:
		rule.enabled = !rule.enabled
	case n < 19:
		rule.roles = [][]string{{}, {"staff"}, {"anon", "authenticated"}, {"auditor"}}[r.rnd.IntN(4)]
	default:
		return r.store(ctx, rule, false)
	}
	return r.store(ctx, rule, true)
}

// mend ends with rules that can be used.
func (r *leakRules) mend(ctx context.Context) error {
	for _, rule := range r.versions[len(r.versions)-1] {
		rule.predicate = r.predicate(rule.relation, false)
		if err := r.store(ctx, rule, true); err != nil {
			return err
		}
	}
	return nil
}

// reached notes that a version holds on every connection.
func (r *leakRules) reached(version int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inForce = version
}

// of are the rules of a version that are for a role and a relation.
func (r *leakRules) of(version int, role, relation string) (rules []leakRule) {
	for _, rule := range r.versions[version] {
		if rule.relation == relation && rule.enabled && (slices.Contains(rule.roles, role) || len(rule.roles) == 0 && role != "anon") {
			rules = append(rules, rule)
		}
	}
	return rules
}
