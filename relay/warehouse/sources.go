package warehouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// identity tells databases apart. The system identifier alone doesn't: a standby, and every cluster copied from one
// initdb, have the same one. The start time does, among servers looked at together.
type identity struct {
	system, database string
	started          time.Time
}

const probeSQL = `
select (select system_identifier::text from pg_catalog.pg_control_system()),
       pg_catalog.current_database()::text, pg_catalog.pg_postmaster_start_time()`

func probe(ctx context.Context, conn *pgx.Conn) (identity, error) {
	var id identity
	err := conn.QueryRow(ctx, probeSQL).Scan(&id.system, &id.database, &id.started)
	id.started = id.started.UTC()
	return id, err
}

// parallelProbes bounds the connections that discovery has open at once.
const parallelProbes = 8

// reached is what was found behind one foreign server.
type reached struct {
	server string
	conf   *pgx.ConnConfig
	id     identity
	err    error
}

// sources groups the servers that have foreign tables by the database that they lead to, and adds the warehouse's own.
func (c Config) sources(ctx context.Context, own *pgx.ConnConfig, local identity, f *findings) []*Source {
	tables := map[string][]ForeignTable{}
	for _, t := range f.foreign {
		tables[t.Server] = append(tables[t.Server], t)
	}
	names := slices.Sorted(maps.Keys(tables))
	found := make([]reached, len(names))
	var group errgroup.Group
	group.SetLimit(parallelProbes)
	for i, name := range names {
		group.Go(func() error {
			found[i] = c.reach(ctx, f.servers[name], own)
			return nil
		})
	}
	_ = group.Wait() // each outcome is in found
	c.settleRestarts(ctx, found)

	byDatabase := map[identity]*Source{}
	var all []*Source
	for _, r := range found {
		s := byDatabase[r.id]
		if s == nil || r.err != nil {
			s = c.source(r.server)
			s.Conn, s.Err = r.conf, r.err
			all = append(all, s)
			if r.err == nil {
				byDatabase[r.id] = s
			}
		}
		s.Servers = append(s.Servers, r.server)
		s.Foreign = append(s.Foreign, tables[r.server]...)
	}
	if len(f.local) > 0 {
		s := byDatabase[local]
		if s == nil {
			s = c.source("local")
			all = append(all, s)
		}
		s.Local, s.Conn, s.Tables = true, own, f.local
	}
	for _, s := range all {
		slices.SortFunc(s.Foreign, func(a, b ForeignTable) int { return strings.Compare(a.Name, b.Name) })
	}
	slices.SortStableFunc(all, func(a, b *Source) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func (c Config) source(name string) *Source {
	s := &Source{Name: name, publication: cmp.Or(c.Publication, DefaultPublication), insertOnly: map[string]bool{}, outbox: &atomic.Bool{}}
	for _, table := range c.InsertOnly {
		s.insertOnly[table] = true
	}
	return s
}

func (c Config) reach(ctx context.Context, s server, own *pgx.ConnConfig) reached {
	r := reached{server: s.name}
	if r.err = s.authenticate(c); r.err != nil {
		return r
	}
	if r.conf, r.err = c.dialer(s, own); r.err != nil {
		return r
	}
	r.id, r.err = c.look(ctx, s.name, r.conf)
	return r
}

func (c Config) look(ctx context.Context, server string, conf *pgx.ConnConfig) (identity, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*c.timeout())
	defer cancel()
	conn, done, err := connect(ctx, conf)
	if err != nil {
		return identity{}, unreachable(fmt.Sprintf("foreign server %q", server), conf, err)
	}
	defer done()
	id, err := probe(ctx, conn)
	if err != nil {
		return identity{}, fmt.Errorf("identify foreign server %q: %w", server, err)
	}
	return id, nil
}

// settleRestarts looks again at servers that differ in their start time alone: where Postgres restarted between two
// looks they are one database, and two slots on it would be one too many.
func (c Config) settleRestarts(ctx context.Context, found []reached) {
	for i := range found {
		for j := range i {
			a, b := &found[j], &found[i]
			if a.err != nil || b.err != nil || a.id == b.id || a.id.system != b.id.system || a.id.database != b.id.database {
				continue
			}
			if a.id.started.Before(b.id.started) {
				a.id, a.err = c.look(ctx, a.server, a.conf)
			} else {
				b.id, b.err = c.look(ctx, b.server, b.conf)
			}
		}
	}
}
