package outbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// look records a delivery of what is new and hands it over; found tells whether there was anything. first are statements of
// the doorbell that go before it, in the same round trip; an error of theirs is returned, after the look, as errBell.
func (r *Reader) look(ctx context.Context, d *deliverer, first ...string) (found bool, err error) {
	n, always := r.begin()
	defer r.end()
	p := r.conn.PgConn().StartPipeline(ctx)
	defer func() {
		if closed := p.Close(); err == nil && closed != nil {
			found, err = false, closed
		}
	}()
	for _, name := range first {
		r.send(p, name, textResult)
		p.SendPipelineSync()
	}
	r.send(p, beginName, nil)
	number := []byte(strconv.FormatInt(n, 10))
	r.send(p, recordName, textResult, number, []byte(r.border.text), []byte(strconv.FormatBool(always)))
	p.SendPipelineSync()
	r.send(p, commitName, nil)
	p.SendPipelineSync()
	r.send(p, rowsName, binaryResult, number, r.border.xmaxText(), []byte(r.border.running))
	p.SendPipelineSync()
	if err := p.Flush(); err != nil {
		return false, fmt.Errorf("look: %w", err)
	}
	var bell error
	var slept bool
	var next uint64
	for _, name := range first {
		row, err := results(p)
		if err != nil {
			bell = errors.Join(errBell, err)
			continue
		}
		if slept = name == sleepName; slept {
			if next, err = strconv.ParseUint(string(row[0]), 10, 32); err != nil {
				return false, fmt.Errorf("take the doorbell's lock: %w", err)
			}
		}
	}
	answer, err := results(p)
	if err != nil {
		return false, fmt.Errorf("record delivery %d: %w", n, err)
	}
	if _, err := results(p); err != nil {
		return false, fmt.Errorf("commit delivery %d: %w", n, err)
	}
	found, err = r.take(d, n, answer, p)
	if err != nil {
		return false, err
	}
	if slept {
		r.silent = r.border.full(uint32(next))
	}
	transactions := 0
	if found {
		transactions = d.place
	}
	r.pace.note(time.Now(), transactions)
	return found, bell
}

// begin takes the number of the delivery that the look may record, and whether it has to.
func (r *Reader) begin() (n int64, always bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if always = r.fence >= r.next; always {
		r.next = r.fence
	}
	r.looking = true
	return r.next, always
}

func (r *Reader) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looking = false
}

func (r *Reader) recorded(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.last = n+1, wholly(n)
}

// take reads record's answer and hands the rows over.
func (r *Reader) take(d *deliverer, n int64, answer [][]byte, p *pgconn.Pipeline) (found bool, err error) {
	if len(answer) != 4 {
		return false, fmt.Errorf("record delivery %d: the answer has another form than it should", n)
	}
	if string(answer[1]) == "t" {
		return false, fmt.Errorf("the outbox was closed: %w", ErrGap)
	}
	now, err := parseBorder(string(answer[0]))
	if err != nil {
		return false, err
	}
	if string(answer[2]) != "t" {
		r.border = now
		d.h.Lock()
		_, last := r.Window()
		d.h.Advance(last, now.text)
		d.h.Unlock()
		return false, nil
	}
	if err := d.layouts.note(n, answer[3]); err != nil {
		return false, err
	}
	result, err := p.GetResults()
	if err != nil {
		return false, fmt.Errorf("read delivery %d: %w", n, err)
	}
	rows, ok := result.(*pgconn.ResultReader)
	if !ok {
		return false, fmt.Errorf("read delivery %d: no result", n)
	}
	r.recorded(n)
	if err := d.run(n, 0, now.text, rows); err != nil {
		return false, err
	}
	r.border = now
	return d.place > 0, nil
}

// send sends one of the prepared statements.
func (r *Reader) send(p *pgconn.Pipeline, name string, formats []int16, values ...[]byte) {
	if r.pooled {
		p.SendQueryParams(prepared[name], values, nil, nil, formats)
		return
	}
	p.SendQueryPrepared(name, values, nil, formats)
}

// results reads up to the next Sync and returns the last statement's row, if it has one.
func results(p *pgconn.Pipeline) (row [][]byte, err error) {
	for {
		result, failed := p.GetResults()
		var pg *pgconn.PgError
		switch {
		case errors.As(failed, &pg):
			err = failed
			continue
		case failed != nil:
			return nil, failed
		}
		switch result := result.(type) {
		case *pgconn.PipelineSync:
			return row, err
		case *pgconn.ResultReader:
			for result.NextRow() {
				row = nil
				for _, v := range result.Values() {
					if v == nil {
						row = append(row, nil)
						continue
					}
					row = append(row, append([]byte{}, v...))
				}
			}
			if _, failed := result.Close(); failed != nil && err == nil {
				err = failed
			}
		case nil:
			return row, errors.Join(err, errors.New("the server answered too little"))
		}
	}
}
