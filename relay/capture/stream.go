package capture

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pgrelay/relay"
	"pgrelay/relay/hub"
	"pgrelay/relay/wal"
)

// holdMessages is after how many messages at the most the hub's lock is given back.
const holdMessages = 256

// decoder is the state of one stream.
type decoder struct {
	c       *Capture
	message wal.Message
	xid     uint64 // the last full transaction id
	inTx    bool
	skip    bool // the transaction was taken in before
	changes int
	touched bool
	drifted bool
	watched []uint32 // of the relation that the capture was asked to watch
}

// stream reads until the stream breaks. Once it has passed fence, the source is available.
func (c *Capture) stream(ctx context.Context, stream *wal.Stream, fence relay.LSN) error {
	d := &decoder{c: c}
	c.mu.Lock()
	d.xid = c.reference
	c.mu.Unlock()
	defer c.Journal().Abandon()
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	ready := false
	for {
		data, err := stream.Next()
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		c.Hub.Lock()
		for n := 1; ; n++ {
			if err = d.take(stream, data); err != nil || d.drifted || n >= holdMessages || !stream.Buffered() {
				break
			}
			if data, err = stream.Next(); err != nil {
				break
			}
		}
		c.Hub.Unlock()
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		if d.drifted {
			// What follows has another form: the hub must know it before it takes it in.
			d.drifted = false
			if err := c.awaitInspection(ctx); err != nil {
				return err
			}
		}
		if !ready && !d.inTx && c.Hub.Position() >= fence {
			ready = true
			c.live()
			c.log.Info().Stringer("position", c.Hub.Position()).Msg("source live")
		}
	}
}

func (d *decoder) take(stream *wal.Stream, data wal.Data) error {
	if data.Payload != nil {
		return d.decode(stream, data.Payload)
	}
	if !d.inTx {
		d.c.journal.Advance(data.End)
		d.c.Hub.Advance(data.End)
		stream.Received(max(data.End, d.c.journalEnd()))
	}
	if data.Reply {
		return stream.Report()
	}
	return nil
}

func (c *Capture) journalEnd() relay.LSN {
	_, end := c.journal.Window()
	return end
}

func (d *decoder) decode(stream *wal.Stream, payload []byte) error {
	c, m := d.c, &d.message
	if err := m.Parse(payload); err != nil {
		return err
	}
	switch m.Kind {
	case wal.KindBegin:
		d.begin(m)
	case wal.KindCommit:
		d.commit(stream, m)
	case wal.KindRelation:
		d.relation(m)
	case wal.KindInsert, wal.KindUpdate, wal.KindDelete:
		if d.skip {
			return nil
		}
		d.changes++
		c.journal.Append(payload)
		if slices.Contains(d.watched, m.Relation) {
			d.touched = true
		}
		return c.Hub.Row(m.Kind, m.Relation, m.Old, m.New)
	case wal.KindTruncate:
		if d.skip {
			return nil
		}
		d.changes++
		c.journal.Append(payload)
		d.touched = d.touched || slices.ContainsFunc(m.Relations, func(oid uint32) bool { return slices.Contains(d.watched, oid) })
		c.Hub.Truncate(m.Relations)
	}
	return nil
}

func (d *decoder) begin(m *wal.Message) {
	c := d.c
	d.xid = fullXID(d.xid, m.XID)
	d.inTx, d.touched, d.changes = true, false, 0
	d.watched = *c.watched.Load()
	// After a crash of Postgres the slot may go back: what was taken in is not taken in again.
	if d.skip = m.Final < c.journalEnd(); d.skip {
		return
	}
	c.mu.Lock()
	c.unseen = append(c.unseen, d.xid)
	c.mu.Unlock()
	c.journal.Begin(d.xid, m.Time)
	c.Hub.Begin(d.xid, m.Time)
}

// fullXID finds the 64-bit id that is nearest to a known one.
func fullXID(near uint64, xid uint32) uint64 {
	return near + uint64(int64(int32(xid-uint32(near))))
}

func (d *decoder) commit(stream *wal.Stream, m *wal.Message) {
	c := d.c
	d.inTx = false
	if d.skip {
		stream.Received(max(m.End, c.journalEnd()))
		return
	}
	c.journal.Commit(m.End)
	c.Hub.Commit(m.End)
	stream.Received(m.End)
	c.cfg.Metrics.Transaction(d.changes)
	c.mu.Lock()
	if c.waiters > 0 {
		close(c.committed)
		c.committed = make(chan struct{})
		c.waiters = 0
	}
	c.mu.Unlock()
	if d.touched && c.cfg.Touched != nil {
		c.cfg.Touched(d.xid)
	}
}

func (d *decoder) relation(m *wal.Message) {
	columns := make([]hub.StreamColumn, len(m.Columns))
	for i, c := range m.Columns {
		columns[i] = hub.StreamColumn{Name: c.Name, Type: c.Type, Key: c.Key}
	}
	drifted, extra := d.c.Hub.Layout(m.Relation, columns)
	d.drifted = d.drifted || drifted || extra
}

// live says that the source answers.
func (c *Capture) live() {
	c.mu.Lock()
	c.heard, c.mark = time.Now(), 0
	c.mu.Unlock()
	c.alive()
}

// lagEvery is how often the figures of a source are read.
const lagEvery = 5 * time.Second
