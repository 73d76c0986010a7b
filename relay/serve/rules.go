package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/metrics"
	"pgrelay/relay/predicate"
	"pgrelay/relay/rule"
	"pgrelay/relay/session"
)

// rulesRelation is the table of the rules, as the warehouse names it.
const rulesRelation = "web_socket_event_system_events.rules"

// rulesWait bounds how long the rules' table is read again until it shows an edit that the stream has brought.
const rulesWait = 10 * time.Second

// rulesTouched notes an edit of the rules. It is called under a hub's lock.
func (s *Server) rulesTouched(xid uint64) {
	s.edits.mu.Lock()
	s.edits.count++
	s.edits.pending = append(s.edits.pending, xid)
	s.edits.mu.Unlock()
	s.nudge()
}

// rulesSource is the capture that hears of edits; found is false before the warehouse was read, and the capture nil
// where there is no table of rules.
func (s *Server) rulesSource() (r *running, conn *pgx.ConnConfig, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.warehouse == nil {
		return nil, nil, false
	}
	if s.warehouse.Rules.Source == "" {
		return nil, nil, true
	}
	if r = s.captures[s.warehouse.Rules.Source]; r == nil {
		return nil, nil, false
	}
	if _, triggered := slices.BinarySearch(r.Triggered(), rulesRelation); triggered {
		if r = s.outboxes[r.name]; r == nil {
			return nil, nil, false
		}
	}
	return r, r.source.Conn, true
}

// listening tells since when edits of the rules are known to have arrived. A warehouse without the table has nothing
// to be heard.
func listening(r *running, found bool) (since time.Time, ok bool) {
	if !found {
		return since, false
	}
	if r == nil {
		return time.Now(), true
	}
	if ok, _ := r.Available(); !ok || r.Shapes().Relation(rulesRelation) == nil {
		return since, false
	}
	return r.Heard(), true
}

// silenced tells that the directory must be made anew: the rules have not been heard for so long that subscriptions
// must wait, or they could be read again.
func (s *Server) silenced() bool {
	r, _, found := s.rulesSource()
	since, ok := listening(r, found)
	s.edits.mu.Lock()
	count := s.edits.count
	s.edits.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && since.After(s.heardAt) {
		s.heardAt = since
	}
	fresh := time.Since(s.heardAt) <= s.cfg.RulesTimeout
	if !s.heard {
		return ok && fresh && s.rulesErr == ""
	}
	return !fresh || ok && count != s.readEdits
}

// refreshRules reads the rules where they may have changed, and decides whether they are in force.
func (s *Server) refreshRules(ctx context.Context) {
	r, conn, found := s.rulesSource()
	since, ok := listening(r, found)
	lives := 0
	if r != nil {
		lives = r.Lives()
	}
	s.edits.mu.Lock()
	count, pending := s.edits.count, slices.Clone(s.edits.pending)
	s.edits.mu.Unlock()
	s.mu.Lock()
	if ok && since.After(s.heardAt) {
		s.heardAt = since
	}
	silent := time.Since(s.heardAt) > s.cfg.RulesTimeout
	if silent || s.rules == nil && !ok {
		s.heard = false
	}
	fresh := s.heard && s.readEdits == count && s.readLife == lives && s.readFrom == r
	s.mu.Unlock()
	switch {
	case !ok || silent || fresh:
	case r == nil:
		s.install(nil, nil, count, 0)
	default:
		rules, err := s.reader.read(ctx, conn, r.Shapes().Relation(rulesRelation), pending)
		if err != nil {
			s.mu.Lock()
			s.rulesErr, s.heard = err.Error(), false
			s.mu.Unlock()
			s.log.Error().Err(err).Msg("rules cannot be read; nothing is served")
			time.AfterFunc(time.Second, s.nudge)
			return
		}
		s.install(r, rules, count, lives)
		s.edits.mu.Lock()
		s.edits.pending = s.edits.pending[len(pending):]
		s.edits.mu.Unlock()
	}
}

// install puts rules in force.
func (s *Server) install(r *running, rules []relay.Rule, edits, lives int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = rule.New(rules, s.rules, s.faulted)
	s.readEdits, s.readLife, s.readFrom, s.heard, s.rulesErr = edits, lives, r, true, ""
}

// checkRules finds what is wrong with the rules as the relations are now.
func (s *Server) checkRules(d *session.Directory) {
	problems := d.Rules.Check(func(name string) *relay.Relation {
		if c := d.Tables[name]; c != nil {
			return c.Shapes().Relation(name)
		}
		return nil
	})
	broken := 0
	for _, p := range problems {
		if p.Denies {
			broken++
		}
	}
	s.metrics.RulesBroken.Set(float64(broken))
	s.mu.Lock()
	known := s.problems
	s.problems = problems
	s.mu.Unlock()
	for _, p := range problems {
		if !slices.Contains(known, p) {
			s.log.Error().Str("rule", p.Rule).Str("table", p.Relation).Str("reason", p.Reason).Str("remedy", p.Hint).Bool("denies", p.Denies).Msg("something is wrong with a rule")
		}
	}
}

// fault is what is logged once of the errors that predicates raise on rows.
type fault struct {
	rule, code string
}

// maxFaults bounds how many are remembered.
const maxFaults = 10000

// faulted counts an error that a predicate has raised on a row. It is called under a hub's lock.
func (s *Server) faulted(rule string, f *predicate.Fault) {
	kind := metrics.FaultRule
	switch {
	case f == predicate.ErrRow:
		kind = metrics.FaultInternal
	case rule == "":
		kind = metrics.FaultWhere
	}
	s.metrics.Fault(kind)
	if kind == metrics.FaultWhere {
		return // a client's own
	}
	s.faultsMu.Lock()
	_, known := s.faults[fault{rule, f.Code}]
	if !known && len(s.faults) < maxFaults {
		s.faults[fault{rule, f.Code}] = struct{}{}
	}
	s.faultsMu.Unlock()
	if !known {
		s.log.Warn().Str("rule", rule).Str("sqlstate", f.Code).Str("error", f.Message).Msg("a rule raises an error on some rows, which it therefore doesn't show")
	}
}

// rulesReader reads the rules over a connection that it keeps, since a new one would take longer than the reading. It is
// used by one goroutine.
type rulesReader struct {
	cfg  *pgx.ConnConfig
	conn *pgx.Conn
}

// close ends the connection.
func (r *rulesReader) close() {
	if r.conn != nil {
		_ = r.conn.Close(context.Background())
		r.conn = nil
	}
}

func (r *rulesReader) connect(ctx context.Context, cfg *pgx.ConnConfig) error {
	if r.conn != nil && r.cfg == cfg && !r.conn.IsClosed() {
		return nil
	}
	r.close()
	conn, err := pgx.ConnectConfig(ctx, cfg.Copy())
	if err != nil {
		return fmt.Errorf("connect to the system database: %w", err)
	}
	r.cfg, r.conn = cfg, conn
	return nil
}

// read reads the rules' table at its source, once it shows the edits. A connection that was kept and fails is replaced once.
func (r *rulesReader) read(ctx context.Context, cfg *pgx.ConnConfig, table *relay.Relation, edits []uint64) ([]relay.Rule, error) {
	if table == nil || cfg == nil {
		return nil, errors.New("the rules' table is not published")
	}
	ctx, cancel := context.WithTimeout(ctx, rulesWait)
	defer cancel()
	kept := r.conn != nil
	for pause := time.Millisecond; ; {
		if err := r.connect(ctx, cfg); err != nil {
			return nil, err
		}
		rules, seen, err := readRulesOnce(ctx, r.conn, table, edits)
		switch {
		case err != nil && kept && ctx.Err() == nil:
			r.close()
			kept = false
			continue
		case err != nil:
			r.close()
			return nil, err
		case seen:
			return rules, nil
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return nil, errors.New("an edit of the rules stays invisible: it may be waiting for a synchronous standby")
		}
	}
}

func readRulesOnce(ctx context.Context, conn *pgx.Conn, r *relay.Relation, edits []uint64) (rules []relay.Rule, seen bool, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, false, fmt.Errorf("read the rules: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var text string
	if err := tx.QueryRow(ctx, `select pg_catalog.pg_current_snapshot()::text`).Scan(&text); err != nil {
		return nil, false, fmt.Errorf("read the rules: %w", err)
	}
	v, err := hub.ParseVisibility(text)
	if err != nil || slices.ContainsFunc(edits, func(xid uint64) bool { return !v.Sees(xid) }) {
		return nil, false, err
	}
	rows, err := tx.Query(ctx, `select id, name, enabled, coalesce(relation, ''), coalesce(event::text, ''), coalesce(roles, '{}'),
		coalesce(predicate, ''), columns, payload_schema::text::bytea from `+pgx.Identifier{r.Schema, r.Table}.Sanitize()+` order by id`)
	if err != nil {
		return nil, false, fmt.Errorf("read the rules: %w", err)
	}
	rules, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c relay.Rule, err error) {
		err = row.Scan(&c.ID, &c.Name, &c.Enabled, &c.Relation, &c.Event, &c.Roles, &c.Predicate, &c.Columns, &c.PayloadSchema)
		return c, err
	})
	if err != nil {
		return nil, false, fmt.Errorf("read the rules: %w", err)
	}
	return rules, true, nil
}
