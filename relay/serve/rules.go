package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/rule"
)

// rulesRelation is the table of the rules, as the warehouse names it.
const rulesRelation = "web_socket_event_system_events.rules"

// rulesWait bounds how long the rules' table is read again until it shows an edit that the stream has brought.
const rulesWait = 10 * time.Second

// rulesTouched notes an edit of the rules.
func (s *Server) rulesTouched(xid uint64) {
	s.mu.Lock()
	s.editXID = max(s.editXID, xid)
	s.mu.Unlock()
	s.nudge()
}

// silenced tells that the rules have not been heard for so long that subscriptions must wait, and are in force
// still.
func (s *Server) silenced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening() {
		s.heardAt = time.Now()
		return s.editXID > s.readXID || !s.heard && s.rulesErr == ""
	}
	return s.heard && time.Since(s.heardAt) > s.cfg.RulesTimeout
}

// listening tells that edits of the rules arrive. A warehouse without the table has nothing to be heard.
func (s *Server) listening() bool {
	if s.warehouse == nil {
		return false
	}
	if s.warehouse.Rules.Source == "" {
		return true
	}
	r := s.captures[s.warehouse.Rules.Source]
	if r == nil {
		return false
	}
	ok, _ := r.Available()
	return ok && r.Hub.Relation(rulesRelation) != nil
}

// refreshRules reads the rules where they may have changed, and decides whether they are in force.
func (s *Server) refreshRules(ctx context.Context) {
	s.mu.Lock()
	listening := s.listening()
	var r *running
	if s.warehouse != nil && s.warehouse.Rules.Source != "" {
		r = s.captures[s.warehouse.Rules.Source]
	}
	known := s.warehouse != nil
	lives, edit := 0, s.editXID
	if r != nil {
		lives = r.Lives()
	}
	fresh := s.heard && s.readXID >= edit && s.readLife == lives
	s.mu.Unlock()
	switch {
	case !listening:
		s.mu.Lock()
		if time.Since(s.heardAt) > s.cfg.RulesTimeout || s.rules == nil {
			s.heard = false
		}
		s.mu.Unlock()
	case known && r == nil:
		s.install(nil, 0, 0)
	case !fresh:
		rules, err := readRules(ctx, r.source.Conn, r.Hub.Relation(rulesRelation), edit)
		if err != nil {
			s.mu.Lock()
			s.rulesErr, s.heard = err.Error(), false
			s.mu.Unlock()
			s.log.Error().Err(err).Msg("rules cannot be read; nothing is served")
			time.AfterFunc(time.Second, s.nudge)
			return
		}
		s.install(rules, edit, lives)
	}
}

// install puts rules in force.
func (s *Server) install(rules []relay.Rule, edit uint64, lives int) {
	set := rule.New(rules)
	for _, b := range set.Broken() {
		s.log.Error().Str("rule", b.Rule).Str("reason", b.Reason).Msg("rule cannot be used and denies")
	}
	s.metrics.RulesBroken.Set(float64(len(set.Broken())))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.readXID, s.readLife, s.heard, s.heardAt, s.rulesErr = set, edit, lives, true, time.Now(), ""
}

// readRules reads the rules' table at its source, once it shows the transaction edit.
func readRules(ctx context.Context, cfg *pgx.ConnConfig, r *relay.Relation, edit uint64) ([]relay.Rule, error) {
	if r == nil {
		return nil, errors.New("the rules' table is not published")
	}
	ctx, cancel := context.WithTimeout(ctx, rulesWait)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg.Copy())
	if err != nil {
		return nil, fmt.Errorf("connect to the system database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for pause := time.Millisecond; ; pause *= 2 {
		rules, seen, err := readRulesOnce(ctx, conn, r, edit)
		if err != nil || seen {
			return rules, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errors.New("an edit of the rules stays invisible: it may be waiting for a synchronous standby")
		}
	}
}

func readRulesOnce(ctx context.Context, conn *pgx.Conn, r *relay.Relation, edit uint64) (rules []relay.Rule, seen bool, err error) {
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
	if err != nil || edit != 0 && !v.Sees(edit) {
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
