package wal

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// Slots are the slots of one source: pgrelay_<publication oid>_<epoch>_live and …_anchor_<n>.
// What must outlive the relay stands in these names.
type Slots struct {
	// Publication is the publication's oid; a recreated publication makes the slots of the old one useless.
	Publication uint32
	// Epoch rises whenever continuity is lost.
	Epoch uint64
	// Start is where the live slot decodes from.
	Start relay.LSN
	// Gap tells that the slots are new, so that no earlier position can be continued.
	Gap bool
	// Lost tells that the server had dropped WAL that a slot still needed.
	Lost bool
	// Anchored is the newest anchor's position; 0 without one.
	Anchored relay.LSN
	anchors  []int
}

// anchorsKept is how many anchors there are between two moves: the window that survives a restart is then
// never shorter than half of what it should be.
const anchorsKept = 2

// slotWait bounds the wait for another process to let go of the live slot: the server notices a killed
// relay's closed socket at its next keepalive.
const slotWait = 60 * time.Second

var slotName = regexp.MustCompile(`^pgrelay_([0-9]+)_([0-9]+)_(live|anchor_([0-9]+))$`)

type slot struct {
	name        string
	publication uint32
	epoch       uint64
	anchor      int // 0 for the live slot
	confirmed   relay.LSN
	lost        bool
	// failover is true where the server doesn't know the property.
	failover bool
}

// Live is the live slot's name.
func (s *Slots) Live() string { return fmt.Sprintf("pgrelay_%d_%d_live", s.Publication, s.Epoch) }

func (s *Slots) anchor(n int) string {
	return fmt.Sprintf("pgrelay_%d_%d_anchor_%d", s.Publication, s.Epoch, n)
}

// Prepare makes the live slot ready to stream from the start of the window: the oldest anchor's copy, or the
// live slot as it is where there is no anchor, or a new slot under a new epoch. waiting is called with the
// reason whenever something has to be waited for. last is the epoch that the relay had before and can't go on with,
// so that a new one begins in any case; 0 at the relay's start.
func Prepare(ctx context.Context, conn *pgx.Conn, publication uint32, last uint64, waiting func(reason string)) (*Slots, error) {
	all, err := list(ctx, conn, publication)
	if err != nil {
		return nil, err
	}
	s := &Slots{Publication: publication, Epoch: last}
	var live *slot
	var anchors []slot
	for i := range all {
		if all[i].epoch > s.Epoch {
			s.Epoch = all[i].epoch
		}
	}
	for i := range all {
		c := all[i]
		s.Lost = s.Lost || c.lost
		switch {
		case c.publication != publication || c.epoch != s.Epoch || last > 0:
		case c.anchor == 0:
			live = &all[i]
		case !c.lost:
			anchors = append(anchors, c)
		}
	}
	sort.Slice(anchors, func(i, j int) bool { return anchors[i].anchor < anchors[j].anchor })
	switch {
	case len(anchors) > 0:
		err = s.rewind(ctx, conn, live, anchors, waiting)
	case live != nil && !live.lost:
		s.Start = live.confirmed
		err = release(ctx, conn, live.name, waiting)
	default:
		s.Gap = true
		s.Epoch++
		err = s.create(ctx, conn, waiting)
	}
	if err != nil {
		return nil, err
	}
	return s, s.drop(ctx, conn, all, waiting)
}

// Continue tells whether a relay that has everything up to position can go on with the live slot: it is there,
// of the publication, and has not been moved past the position by somebody else.
func (s *Slots) Continue(ctx context.Context, conn *pgx.Conn, publication uint32, position relay.LSN, waiting func(string)) (bool, error) {
	all, err := list(ctx, conn, publication)
	if err != nil {
		return false, err
	}
	for _, c := range all {
		if c.name == s.Live() && c.publication == publication && !c.lost && c.confirmed <= position {
			return true, release(ctx, conn, c.name, waiting)
		}
	}
	return false, nil
}

// Figures are what an operator wants to know of a source's slots.
type Figures struct {
	// Retained is how many bytes of WAL the slots keep.
	Retained int64
	// Status is the live slot's wal_status, or "missing".
	Status string
	// Written is where the server writes its WAL.
	Written relay.LSN
}

// Figures reads them.
func (s *Slots) Figures(ctx context.Context, conn *pgx.Conn) (f Figures, err error) {
	var written string
	err = conn.QueryRow(ctx, `select coalesce(max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), restart_lsn)), 0)::bigint,
		coalesce(max(wal_status) filter (where slot_name = $1), 'missing'), pg_catalog.pg_current_wal_insert_lsn()::text
		from pg_catalog.pg_replication_slots where slot_name like $2`,
		s.Live(), fmt.Sprintf(`pgrelay\_%d\_%%`, s.Publication)).Scan(&f.Retained, &f.Status, &written)
	if err != nil {
		return f, fmt.Errorf("look at the slots: %w", err)
	}
	f.Written, err = relay.ParseLSN(written)
	return f, err
}

// list leaves out the slots of another publication that is there: they are another relay's.
func list(ctx context.Context, conn *pgx.Conn, publication uint32) ([]slot, error) {
	failover := "true"
	if serverVersion(conn) >= 17 {
		failover = "failover"
	}
	rows, err := conn.Query(ctx, `select slot_name, coalesce(confirmed_flush_lsn, '0/0')::text,
		coalesce(wal_status, '') = 'lost', `+failover+`
		from pg_catalog.pg_replication_slots
		where database = pg_catalog.current_database() and slot_type = 'logical' and slot_name ~ '^pgrelay_[0-9]+_[0-9]+_'
		  and not exists (select from pg_catalog.pg_publication p where p.oid <> $1 and p.oid::text = pg_catalog.split_part(slot_name, '_', 2))
		order by slot_name`, publication)
	if err != nil {
		return nil, fmt.Errorf("list replication slots: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c slot, err error) {
		var lsn string
		if err := row.Scan(&c.name, &lsn, &c.lost, &c.failover); err != nil {
			return c, err
		}
		if m := slotName.FindStringSubmatch(c.name); m != nil {
			oid, _ := strconv.ParseUint(m[1], 10, 32)
			c.publication = uint32(oid)
			c.epoch, _ = strconv.ParseUint(m[2], 10, 64)
			c.anchor, _ = strconv.Atoi(m[4])
		}
		c.confirmed, err = relay.ParseLSN(lsn)
		return c, err
	})
}

// rewind makes the live slot a copy of the oldest anchor.
func (s *Slots) rewind(ctx context.Context, conn *pgx.Conn, live *slot, anchors []slot, waiting func(string)) error {
	if live != nil {
		if err := release(ctx, conn, live.name, waiting); err != nil {
			return err
		}
		if err := dropSlot(ctx, conn, live.name); err != nil {
			return err
		}
	}
	from := anchors[0]
	if err := copySlot(ctx, conn, from.name, s.Live()); err != nil {
		return err
	}
	s.Start = from.confirmed
	for _, a := range anchors {
		if !a.failover { // the relay that copied it died before it could say so
			if err := setFailover(ctx, conn.Config(), a.name); err != nil {
				return err
			}
		}
		s.anchors = append(s.anchors, a.anchor)
		s.Anchored = a.confirmed
	}
	return nil
}

func (s *Slots) create(ctx context.Context, conn *pgx.Conn, waiting func(string)) error {
	stop := reportWait(ctx, conn, waiting)
	defer stop()
	query := `select lsn::text from pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')`
	if serverVersion(conn) >= 17 {
		query = `select lsn::text from pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)`
	}
	var lsn string
	if err := conn.QueryRow(ctx, query, s.Live()).Scan(&lsn); err != nil {
		return slotProblem("create slot "+s.Live(), err)
	}
	var err error
	s.Start, err = relay.ParseLSN(lsn)
	return err
}

// drop removes the slots that no longer serve: of another publication or epoch, lost, or of a temporary name.
func (s *Slots) drop(ctx context.Context, conn *pgx.Conn, all []slot, waiting func(string)) error {
	for _, c := range all {
		if c.publication == s.Publication && c.epoch == s.Epoch && (!c.lost || c.anchor == 0) {
			continue // a live slot that was lost has been replaced under its name
		}
		if err := release(ctx, conn, c.name, waiting); err != nil {
			return err
		}
		if err := dropSlot(ctx, conn, c.name); err != nil {
			return err
		}
	}
	return nil
}

// MoveAnchor makes an anchor at the live slot's position and drops the oldest where there are enough.
func (s *Slots) MoveAnchor(ctx context.Context, conn *pgx.Conn) error {
	n := 1
	if k := len(s.anchors); k > 0 {
		n = s.anchors[k-1] + 1
	}
	err := copySlot(ctx, conn, s.Live(), s.anchor(n))
	if isCode(err, "42710") {
		// An attempt that broke off half way left it, whole or without the failover property.
		if err = dropSlot(ctx, conn, s.anchor(n)); err == nil {
			err = copySlot(ctx, conn, s.Live(), s.anchor(n))
		}
	}
	if err != nil {
		return err
	}
	s.anchors = append(s.anchors, n)
	for len(s.anchors) > anchorsKept {
		if err := dropSlot(ctx, conn, s.anchor(s.anchors[0])); err != nil {
			return err
		}
		s.anchors = s.anchors[1:]
	}
	return nil
}

// dropSlot drops a slot that is not in use; one that is gone is no error.
func dropSlot(ctx context.Context, conn *pgx.Conn, name string) error {
	if _, err := conn.Exec(ctx, `select pg_catalog.pg_drop_replication_slot($1)`, name); err != nil && !isCode(err, "42704") {
		return fmt.Errorf("drop slot %s: %w", name, err)
	}
	return nil
}

// copySlot copies a slot; from 17 on the copy gets the failover property, which copies don't inherit.
func copySlot(ctx context.Context, conn *pgx.Conn, from, to string) error {
	if _, err := conn.Exec(ctx, `select pg_catalog.pg_copy_logical_replication_slot($1, $2, false)`, from, to); err != nil {
		return slotProblem("copy slot "+from, err)
	}
	if serverVersion(conn) < 17 {
		return nil
	}
	return setFailover(ctx, conn.Config(), to)
}

// setFailover needs the replication protocol: there is no function for it.
func setFailover(ctx context.Context, cfg *pgx.ConnConfig, name string) error {
	c := cfg.Config.Copy()
	c.RuntimeParams["replication"] = "database"
	pc, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return fmt.Errorf("connect to mark slot %s for failover: %w", name, err)
	}
	defer func() { _ = pc.Close(context.WithoutCancel(ctx)) }()
	if _, err := pc.Exec(ctx, "ALTER_REPLICATION_SLOT "+relay.Ident(name)+" (FAILOVER true)").ReadAll(); err != nil {
		return fmt.Errorf("mark slot %s for failover: %w", name, err)
	}
	return nil
}

// release waits until no process uses the slot.
func release(ctx context.Context, conn *pgx.Conn, name string, waiting func(string)) error {
	deadline := time.Now().Add(slotWait)
	for {
		var pid *int32
		err := conn.QueryRow(ctx, `select active_pid from pg_catalog.pg_replication_slots where slot_name = $1`, name).Scan(&pid)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err != nil:
			return fmt.Errorf("look at slot %s: %w", name, err)
		case pid == nil:
			return nil
		case time.Now().After(deadline):
			return &relay.Problem{
				What:   fmt.Sprintf("slot %s is in use by process %d: another relay runs on this database, or one died and the server hasn't noticed", name, *pid),
				Remedy: fmt.Sprintf("stop that relay, or: select pg_terminate_backend(%d);", *pid),
			}
		}
		waiting(fmt.Sprintf("slot %s is still in use by process %d", name, *pid))
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// reportWait names, while a slot is being created, the transactions that its creation waits for: every one
// that was open, in any database of the cluster, and prepared ones.
func reportWait(ctx context.Context, conn *pgx.Conn, waiting func(string)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	cfg := conn.Config()
	go func() {
		defer close(done)
		if sleep(ctx, 3*time.Second) != nil {
			return
		}
		other, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return
		}
		defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
		for ctx.Err() == nil {
			if reason, err := oldestTransaction(ctx, other); err == nil && reason != "" {
				waiting("the new slot waits for " + reason)
			}
			_ = sleep(ctx, 5*time.Second)
		}
	}()
	return func() { cancel(); <-done }
}

func oldestTransaction(ctx context.Context, conn *pgx.Conn) (reason string, err error) {
	err = conn.QueryRow(ctx, `select reason from (
		select pg_catalog.format('process %s of %s in database %s, in a transaction since %s', pid, usename, datname, xact_start) as reason,
			pg_catalog.age(backend_xid) as age
		from pg_catalog.pg_stat_activity where backend_xid is not null and pid <> pg_catalog.pg_backend_pid()
		union all
		select pg_catalog.format('prepared transaction %L of %s in database %s, prepared %s', gid, owner, database, prepared), pg_catalog.age(transaction)
		from pg_catalog.pg_prepared_xacts) t order by age desc limit 1`).Scan(&reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return reason, err
}

// slotProblem adds the remedy to what Postgres says about slots.
func slotProblem(what string, err error) error {
	switch {
	case isCode(err, "53400"):
		return &relay.Problem{What: what + ": all replication slots are in use", Remedy: "alter system set max_replication_slots = 20; -- and restart the server"}
	case isCode(err, "42501"):
		return &relay.Problem{What: what + ": the role may not use replication slots", Remedy: "alter role <the relay's role> replication;"}
	case isCode(err, "55000"):
		return &relay.Problem{What: what + ": " + err.Error(), Remedy: "alter system set wal_level = logical; -- and restart the server"}
	}
	return fmt.Errorf("%s: %w", what, err)
}

func isCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

func serverVersion(conn *pgx.Conn) int {
	v, _ := strconv.Atoi(regexp.MustCompile(`^[0-9]+`).FindString(conn.PgConn().ParameterStatus("server_version")))
	return v
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
