package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// judge compares the mirrors with what Postgres shows, and looks at every frame.
func (r *leakRun) judge(ctx context.Context, conn *pgx.Conn) {
	t := r.t
	began := time.Now()
	j, err := newLeakJudge(ctx, conn, r.rules)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, c := range r.clients {
		for _, id := range c.open() {
			if err := r.compare(ctx, j, c, id); err != nil {
				t.Errorf("client %d (%s %s), %+v: %v", c.number, c.who.role, c.who.text, c.asks[id].Subscription, err)
			}
			compared++
		}
		c.mirror.Drop()
	}
	counts := &leakCounts{}
	versions := 0
	for _, table := range j.tables {
		versions += len(table.versions)
	}
	var leaks []string
	for _, c := range r.clients {
		v := verifier{leakJudge: j, client: c, counts: counts, capture: r.capture, before: 3 * time.Second}
		found, err := v.verify(ctx)
		if err != nil {
			t.Fatal(err)
		}
		leaks = append(leaks, found...)
	}
	for _, leak := range leaks[:min(len(leaks), 12)] {
		t.Error(leak)
	}
	var s client.Stats
	reasons := map[string]int{}
	renewals := 0
	for _, c := range r.clients {
		o := c.mirror.Stats()
		s.Connections, s.Resumed, s.Refused, s.Shared, s.Waitings = s.Connections+o.Connections, s.Resumed+o.Resumed, s.Refused+o.Refused, s.Shared+o.Shared, s.Waitings+o.Waitings
		for reason, n := range o.Reasons {
			reasons[reason] += n
		}
		renewals += c.renewals
	}
	t.Logf("%d transactions, %d versions of rows, %d edits of rules (in force after %s at most)", r.commits.Load(), versions, r.edits, r.slowest.Round(time.Millisecond))
	t.Logf("%d connections, %d resumed (%d refused), %d shared, %d tokens renewed, resyncs %v, %d waitings", s.Connections, s.Resumed, s.Refused, s.Shared, renewals, reasons, s.Waitings)
	t.Logf("%d frames of %d streams with %d changes and %d rows of snapshots; %d verdicts asked of Postgres in %s; %d leaks; %d mirrors compared",
		counts.frames, counts.streams, counts.changes, counts.rows, j.asked, time.Since(began).Round(time.Millisecond), len(leaks), compared)
	if counts.changes < 200 || counts.rows < 200 || s.Resumed == 0 || renewals == 0 || reasons[wire.ReasonRuleChanged] < 20 {
		t.Error("the run was too tame to show anything")
	}
}

// compare waits until a subscription is what Postgres shows.
func (r *leakRun) compare(ctx context.Context, j *leakJudge, c *leakClient, id uint64) error {
	ask := c.asks[id]
	condition, columns, granted, rules := j.want(ctx, c.who, ask)
	phase := client.Live
	switch {
	case !rules:
		phase = client.Waiting
	case !granted:
		phase = client.Failed
	}
	var want []client.Row
	if granted {
		var err error
		if want, err = j.contents(ctx, ask.Table, condition, c.who.text); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var diff []string
	err := c.mirror.Await(ctx, func(m *client.Mirror) bool {
		if m.Status(id).Phase != phase {
			return false
		}
		if phase != client.Live || ask.ChangesOnly {
			return true
		}
		diff = differences(m.Rows(id), want, columns)
		return diff == nil
	})
	if err != nil {
		return fmt.Errorf("want %s with %d rows: %q: %w", phase, len(want), diff, err)
	}
	var shown []string
	for _, column := range c.mirror.Status(id).Columns {
		shown = append(shown, column.Name)
	}
	slices.Sort(shown)
	slices.Sort(columns)
	if columns = slices.Compact(columns); phase == client.Live && !slices.Equal(shown, columns) {
		return fmt.Errorf("shows the columns %q, want %q", shown, columns)
	}
	return nil
}

// contents are the rows of a table that fulfil a condition, in the protocol's form.
func (j *leakJudge) contents(ctx context.Context, relation, condition, claims string) ([]client.Row, error) {
	names, expressions, err := columns(ctx, j.conn, relation)
	if err != nil {
		return nil, err
	}
	rows, err := j.conn.Query(ctx, "select array["+strings.Join(expressions, ", ")+"] from "+relation+" t where "+condition, claims)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (client.Row, error) {
		var values []string
		err := row.Scan(&values)
		out := client.Row{}
		for i, value := range values {
			out[names[i]] = []byte(value)
		}
		return out, err
	})
}

// want is the condition of the rows that a subscription shows at the end, over t and the claims as $1, and its columns.
// rules tells whether there are any for the person, granted whether one of them grants the columns.
func (j *leakJudge) want(ctx context.Context, who *leakPerson, ask leakAsk) (query string, columns []string, granted, rules bool) {
	version := len(j.rules.versions) - 1
	mine := j.rules.usable(version, who.role, ask.Table)
	if len(mine) == 0 {
		return "", nil, false, false
	}
	key := leakTables[ask.Table]
	all := j.tables[ask.Table].names
	columns = ask.Columns
	if columns == nil {
		columns = slices.DeleteFunc(slices.Clone(all), func(c string) bool {
			return slices.ContainsFunc(mine, func(r leakRule) bool { return !slices.Contains(key, c) && !r.grants([]string{c}) })
		})
	}
	reads := slices.DeleteFunc(slices.Concat(columns, ask.reads), func(c string) bool { return slices.Contains(key, c) })
	query = "false"
	for _, r := range mine {
		if r.grants(reads) {
			granted = true
			query += " or leak.holds('" + quoted(r.predicate) + "', t, $1)"
		}
	}
	if query = "(" + query + ")"; ask.Where != "" {
		query += " and leak.holds('" + quoted(ask.condition()) + "', t, $1)"
	}
	return query, append(slices.Clone(columns), key...), granted, true
}
