// Package journal keeps a bounded window of a source's recent transactions in memory: raw messages as the
// source sent them, since after a restart there are no frames. The write-ahead log at the source is its disk.
//
//	start                                                   end
//	  │ tx │ tx │ tx │ …                              │ tx │ (open tx)
//	  └ the end of the last transaction that was dropped
package journal

import (
	"errors"
	"sync"
	"time"

	"pgrelay/relay"
)

// ErrGone tells that the window no longer reaches back to a position.
var ErrGone = errors.New("position has left the journal's window")

// chunkSize is how much memory is taken and given back at a time.
const chunkSize = 256 << 10

// Config bounds the window; it ends at whichever comes first.
type Config struct {
	// Bytes in memory; default 64 MiB.
	Bytes int
	// WAL bytes at the source; default 256 MiB.
	WAL uint64
	// Age of the oldest transaction; default 10 minutes.
	Age time.Duration
}

func (c Config) withDefaults() Config {
	if c.Bytes <= 0 {
		c.Bytes = 64 << 20
	}
	if c.WAL == 0 {
		c.WAL = 256 << 20
	}
	if c.Age <= 0 {
		c.Age = 10 * time.Minute
	}
	return c
}

// Tx is a transaction in the window.
type Tx struct {
	// XID is the full, 64-bit id.
	XID uint64
	// At is the commit time in Unix microseconds.
	At int64
	// End is the position after the commit.
	End relay.LSN

	bytes int
	// first and more are the segments of chunks that hold its messages, each a 4-byte length and the message.
	first []byte
	more  [][]byte
	// whole is false for a transaction that did not fit into the window.
	whole bool
	read  time.Time
}

// Journal is one source's window. One goroutine writes, any number read.
type Journal struct {
	cfg   Config
	mu    sync.Mutex
	start relay.LSN
	end   relay.LSN
	// txs[first:] are the transactions of the window; room before first is used again before more is taken.
	txs   []Tx
	first int
	open  Tx
	inTx  bool
	bytes int
	// chunk is where messages go; a chunk is freed with the last transaction that reaches into it.
	chunk []byte
}

// New is an empty journal that begins at start.
func New(cfg Config, start relay.LSN) *Journal {
	return &Journal{cfg: cfg.withDefaults(), start: start, end: start}
}

// Config is the journal's bounds.
func (j *Journal) Config() Config { return j.cfg }

// Begin opens a transaction.
func (j *Journal) Begin(xid uint64, at int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inTx {
		j.bytes -= j.open.bytes
	}
	j.inTx, j.open = true, Tx{XID: xid, At: at, whole: true}
}

// Append adds a message to the open transaction; it is copied.
func (j *Journal) Append(message []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	tx := &j.open
	if !j.inTx || !tx.whole {
		return
	}
	size := len(message) + 4
	if tx.bytes+size > j.cfg.Bytes {
		// A transaction larger than the window is delivered live; who breaks off within it is resynced.
		j.bytes -= tx.bytes
		tx.whole, tx.first, tx.more, tx.bytes = false, nil, nil, 0
		return
	}
	j.put(tx, message)
	tx.bytes += size
	j.bytes += size
	if j.bytes > j.cfg.Bytes {
		j.trim(time.Now())
	}
}

func (j *Journal) put(tx *Tx, message []byte) {
	size := len(message) + 4
	fresh := tx.bytes == 0
	if cap(j.chunk)-len(j.chunk) < size {
		j.chunk = make([]byte, 0, max(chunkSize, size))
		if !fresh {
			tx.more = append(tx.more, nil)
		}
	}
	from := len(j.chunk)
	n := len(message)
	j.chunk = append(j.chunk, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	j.chunk = append(j.chunk, message...)
	segment := &tx.first
	if k := len(tx.more); k > 0 {
		segment = &tx.more[k-1]
	}
	if len(*segment) == 0 {
		*segment = j.chunk[from:len(j.chunk):len(j.chunk)]
		return
	}
	start := from - len(*segment)
	*segment = j.chunk[start:len(j.chunk):len(j.chunk)]
}

// Commit closes the open transaction at end.
func (j *Journal) Commit(end relay.LSN) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.inTx {
		return
	}
	tx := j.open
	j.inTx, j.open = false, Tx{}
	tx.End, tx.read = end, time.Now()
	j.end = end
	if !tx.whole {
		j.txs, j.first, j.bytes, j.start = nil, 0, 0, end
		return
	}
	if j.first > 0 && len(j.txs) == cap(j.txs) && j.first >= len(j.txs)/4 {
		j.compact()
	}
	j.txs = append(j.txs, tx)
	j.trim(time.Now())
}

// Abandon drops the open transaction: the connection broke and it will come again.
func (j *Journal) Abandon() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inTx {
		j.bytes -= j.open.bytes
		j.inTx, j.open = false, Tx{}
	}
}

// Advance tells that everything before lsn was received though no transaction came with it.
func (j *Journal) Advance(lsn relay.LSN) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end = max(j.end, lsn)
	j.trim(time.Now())
}

// trim drops the oldest transactions while a bound is exceeded.
func (j *Journal) trim(now time.Time) {
	for ; j.first < len(j.txs); j.first++ {
		tx := &j.txs[j.first]
		if j.bytes <= j.cfg.Bytes && uint64(j.end-min(j.end, tx.End)) <= j.cfg.WAL && now.Sub(tx.read) <= j.cfg.Age {
			break
		}
		j.bytes -= tx.bytes
		j.start = tx.End
		*tx = Tx{}
	}
}

// compact moves the transactions to the front.
func (j *Journal) compact() {
	n := copy(j.txs, j.txs[j.first:])
	clear(j.txs[n:])
	j.txs, j.first = j.txs[:n], 0
}

// Window returns where the window starts and ends.
func (j *Journal) Window() (start, end relay.LSN) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.start, j.end
}

// Size returns the bytes and transactions held.
func (j *Journal) Size() (bytes, transactions int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes, len(j.txs) - j.first
}

// Covers tells that a reader at position can go on without a gap.
func (j *Journal) Covers(position relay.LSN) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return position >= j.start
}

// Next returns the first transaction that ends after position; ok is false where there is none yet.
// It returns ErrGone when transactions after position have been dropped.
func (j *Journal) Next(position relay.LSN) (tx Tx, ok bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if position < j.start {
		return Tx{}, false, ErrGone
	}
	lo, hi := j.first, len(j.txs)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if j.txs[mid].End > position {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == len(j.txs) {
		return Tx{}, false, nil
	}
	return j.txs[lo], true, nil
}

// Messages calls f for each message of a committed transaction, in order.
func (t Tx) Messages(f func(message []byte) error) error {
	if err := each(t.first, f); err != nil {
		return err
	}
	for _, segment := range t.more {
		if err := each(segment, f); err != nil {
			return err
		}
	}
	return nil
}

func each(segment []byte, f func(message []byte) error) error {
	for len(segment) > 0 {
		size := int(segment[0])<<24 | int(segment[1])<<16 | int(segment[2])<<8 | int(segment[3])
		if err := f(segment[4 : 4+size]); err != nil {
			return err
		}
		segment = segment[4+size:]
	}
	return nil
}
