package bench

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/journal"
	published "pgrelay/relay/publication"
	"pgrelay/relay/wal"
	"pgrelay/relay/warehouse"
)

// messageSlot keeps the messages that tuplesToFrames feeds in again and again.
const messageSlot = "bench_messages"

// tuplesToFrames measures the way from a pgoutput message to a frame in memory, without server and sockets:
// parse, journal, encode, frame.
func (b *bench) tuplesToFrames(ctx context.Context, name string, rowsEach int) error {
	b.progress("%s", name)
	relation, err := b.inspect(ctx)
	if err != nil {
		return err
	}
	if _, err := published.Ensure(ctx, b.database.conn, publication, []*relay.Relation{relation}); err != nil {
		return err
	}
	messages, err := b.messages(ctx, max(1000/rowsEach, 1), rowsEach)
	if err != nil {
		return err
	}
	h := hub.NewSource("bench", 0)
	h.Reset("bench", 1, "")
	h.SetRelations([]*relay.Relation{relation}, 1)
	f := feeder{hub: h, journal: journal.New(journal.Config{}, 1), position: 1}
	// The stream describes the table once, before its first row.
	if err := f.feed(messages); err != nil {
		return err
	}
	if err := shape(h, relation); err != nil {
		return err
	}
	messages = withoutRelations(messages)
	rate := Figure{Name: name, Unit: "rows per second of CPU"}
	allocations := Figure{Name: name + ", allocations", Unit: "a row", Bar: "0"}
	var before, after runtime.MemStats
	for range b.config.Pairs {
		runtime.ReadMemStats(&before)
		f.rows = 0
		began := processorTime()
		for f.rows < b.config.Rows {
			if err := f.feed(messages); err != nil {
				return err
			}
		}
		took := processorTime() - began
		runtime.ReadMemStats(&after)
		rate.Runs = append(rate.Runs, float64(f.rows)/took.Seconds())
		allocations.Runs = append(allocations.Runs, float64(after.Mallocs-before.Mallocs)/float64(f.rows))
	}
	b.report.add(rate)
	b.report.add(allocations)
	return nil
}

// messages are what the server sends for a few transactions.
func (b *bench) messages(ctx context.Context, transactions, rowsEach int) ([][]byte, error) {
	if err := b.database.createSlot(ctx, messageSlot); err != nil {
		return nil, err
	}
	if _, err := b.database.fill(ctx, transactions, rowsEach); err != nil {
		return nil, err
	}
	rows, err := b.database.conn.Query(ctx, `select data from pg_catalog.pg_logical_slot_peek_binary_changes(
		$1, null, null, 'proto_version', '1', 'publication_names', $2)`, messageSlot, publication)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	defer rows.Close()
	var messages [][]byte
	for rows.Next() {
		var message []byte
		if err := rows.Scan(&message); err != nil {
			return nil, fmt.Errorf("read messages: %w", err)
		}
		messages = append(messages, message)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return messages, b.database.dropSlot(ctx, messageSlot)
}

// inspect describes the table as a source that is followed would.
func (b *bench) inspect(ctx context.Context) (*relay.Relation, error) {
	found, err := warehouse.Discover(ctx, warehouse.Config{DSN: b.config.DSN, Publication: publication})
	if err != nil {
		return nil, err
	}
	inspection, err := found.Sources[0].Inspect(ctx, b.database.conn)
	if err != nil {
		return nil, err
	}
	for _, r := range inspection.Relations {
		if r.Name == table {
			return r, nil
		}
	}
	return nil, fmt.Errorf("table %s is not published", table)
}

// processorTime is what the process has used of all cores.
func processorTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func withoutRelations(messages [][]byte) (rest [][]byte) {
	for _, m := range messages {
		if m[0] != wal.KindRelation {
			rest = append(rest, m)
		}
	}
	return rest
}

// feeder takes messages in as the reader of a stream does, at ever new positions.
type feeder struct {
	hub      *hub.Source
	journal  *journal.Journal
	message  wal.Message
	position relay.LSN
	rows     int
}

func (f *feeder) feed(messages [][]byte) error {
	f.hub.Lock()
	defer f.hub.Unlock()
	m := &f.message
	for _, payload := range messages {
		if err := m.Parse(payload); err != nil {
			return err
		}
		switch m.Kind {
		case wal.KindRelation:
			columns := make([]hub.StreamColumn, len(m.Columns))
			for i, c := range m.Columns {
				columns[i] = hub.StreamColumn{Name: c.Name, Type: c.Type, Key: c.Key}
			}
			f.hub.Layout(m.Relation, columns)
		case wal.KindBegin:
			f.journal.Begin(uint64(m.XID), m.Time)
			f.hub.Begin(uint64(m.XID), m.Time)
		case wal.KindInsert:
			f.rows++
			f.journal.Append(payload)
			if err := f.hub.Row(m.Kind, m.Relation, m.Old, m.New); err != nil {
				return err
			}
		case wal.KindCommit:
			f.position += relay.LSN(len(payload))
			f.journal.Commit(f.position)
			f.hub.Commit(f.position)
		}
	}
	return nil
}
