package outbox

import (
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"pgrelay/relay"
)

// Config says how to read an outbox. Conn is required.
type Config struct {
	// Conn is how to connect to the database. Its role needs what relay.grant_reader gives.
	Conn *pgx.ConnConfig
	// Poll is how often to look while asleep; default 1 s.
	Poll time.Duration
	// PollUnrung is how often to look where nobody rings; default 100 ms.
	PollUnrung time.Duration
	// Takeover is how long Open waits for another reader to end; default 5 s.
	Takeover time.Duration
	// NoDoorbell looks by itself, as where the DBA has switched the doorbell off.
	NoDoorbell bool
	// RetainBytes and RetainAge say how much of what was delivered is kept for those who resume: about, at most half as much
	// again, and less where the budget of relay.state is tight. Default 256 MiB and 10 minutes.
	RetainBytes int64
	RetainAge   time.Duration
	Logger      zerolog.Logger
	// Waiting is told whom Open waits for; default: the log alone.
	Waiting func(reason string)

	tendEvery time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.Conn == nil {
		return c, errors.New("outbox: Conn is missing")
	}
	if c.Poll <= 0 {
		c.Poll = time.Second
	}
	if c.PollUnrung <= 0 {
		c.PollUnrung = 100 * time.Millisecond
	}
	if c.RetainBytes <= 0 {
		c.RetainBytes = 256 << 20
	}
	if c.RetainAge <= 0 {
		c.RetainAge = 10 * time.Minute
	}
	if c.Takeover <= 0 {
		c.Takeover = 5 * time.Second
	}
	if c.tendEvery <= 0 {
		c.tendEvery = tendEvery
	}
	c.Logger = c.Logger.With().Str("component", "outbox").Logger()
	if c.Waiting == nil {
		c.Waiting = func(string) {}
	}
	return c, nil
}

// Column is a column of the tuples of a table.
type Column struct {
	Name string
	// Type is its pg_type.oid.
	Type uint32
}

// Handler takes what is delivered. It is called from one goroutine.
//
// Begin to Advance are called between Lock and Unlock, which enclose many calls, but no wait for the network; a transaction
// may take several such stretches. Tuples are valid during the call. Any error ends the reading.
type Handler interface {
	Lock()
	Unlock()
	// Relation describes the tuples of a table from now on, before the first one and whenever its columns have changed. It is
	// called without the lock and may wait. A transaction may be open.
	Relation(table uint32, columns []Column) error
	// Begin opens a transaction; at is the time of its last write in Unix microseconds. A transaction that was not committed
	// when another begins, or when the reading ended, comes again.
	Begin(xid uint64, at int64)
	// Row is an insert ('I'), update ('U') or delete ('D'); old is always complete.
	Row(kind byte, table uint32, old, new relay.Tuple) error
	// Truncate names the tables that one TRUNCATE emptied, partitions and their root by themselves.
	Truncate(tables []uint32)
	// Lost says that changes of a table were not captured, or can't be read: who follows it starts over.
	Lost(table uint32, reason string)
	// Commit ends the transaction. position goes on after it.
	Commit(position relay.LSN)
	// Advance says that everything which snapshot (pg_snapshot's text) sees has been handed over, and that position goes on
	// after it. It comes at least at the end of each delivery.
	Advance(position relay.LSN, snapshot string)
}

// Errors that end a reading.
var (
	// ErrGap: changes may be missing. Open begins a new epoch.
	ErrGap = errors.New("changes may be missing from the outbox")
	// ErrGone: what follows the position is no longer kept.
	ErrGone = errors.New("position has left the outbox's window")
)
