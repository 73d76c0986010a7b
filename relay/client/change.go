package client

import (
	"errors"
	"fmt"
	"maps"

	"pgrelay/relay/wire"
)

// apply makes one change. Where the join isn't exact (capture warehouse, before live) lenient says so: an insert
// replaces, and an update or delete of a missing row is ignored.
func (r *rows) apply(c wire.Change, lenient bool) error {
	if err := r.form(c); err != nil {
		return fmt.Errorf("%s %w", c.Op, err)
	}
	var err error
	switch c.Op {
	case wire.OpInsert:
		err = r.insert(c.Row, lenient)
	case wire.OpUpdate:
		err = r.update(c, lenient)
	case wire.OpDelete:
		err = r.delete(c.Key, lenient)
	case wire.OpTruncate:
		r.truncate()
	}
	if err != nil {
		return fmt.Errorf("%s %w", c.Op, err)
	}
	return nil
}

// form checks which fields a change has.
func (r *rows) form(c wire.Change) error {
	switch c.Op {
	case wire.OpInsert:
		if c.Row == nil || c.Key != nil {
			return errors.New("has other fields than row")
		}
	case wire.OpUpdate:
		if c.Row == nil || r.bag && c.Key == nil {
			return errors.New("lacks a field")
		}
	case wire.OpDelete:
		if c.Key == nil || c.Row != nil {
			return errors.New("has other fields than key")
		}
	case wire.OpTruncate:
		if c.Row != nil || c.Key != nil {
			return errors.New("has a field")
		}
	default:
		return errors.New("is no operation")
	}
	if (c.Op == wire.OpUpdate || c.Op == wire.OpDelete) && len(r.key) == 0 && !r.bag {
		return errors.New("comes for an insert-only table")
	}
	return nil
}

func (r *rows) insert(row Row, lenient bool) error {
	if err := r.complete(row); err != nil {
		return fmt.Errorf("row %w", err)
	}
	id, err := r.identity(row)
	if err != nil {
		return fmt.Errorf("row %w", err)
	}
	if _, there := r.byKey[id]; there && len(r.key) > 0 {
		if !lenient {
			return fmt.Errorf("of a key that is there: %q", id)
		}
		r.size--
	}
	r.put(id, row)
	return nil
}

func (r *rows) update(c wire.Change, lenient bool) error {
	if r.bag {
		return r.exchange(c, lenient)
	}
	if err := r.known(c.Row); err != nil {
		return fmt.Errorf("row %w", err)
	}
	id, err := r.identity(c.Row)
	if err != nil {
		return fmt.Errorf("row %w", err)
	}
	was := id
	if c.Key != nil {
		if was, err = r.exact(c.Key); err != nil {
			return err
		}
		if was == id {
			return fmt.Errorf("carries an old key that is the new one: %q", id)
		}
	}
	old, there := r.byKey[was]
	if !there {
		if lenient {
			return nil
		}
		return fmt.Errorf("of a key that isn't there: %q", was)
	}
	if _, taken := r.byKey[id]; taken && was != id && !lenient {
		return fmt.Errorf("to a key that is there: %q", id)
	}
	row := maps.Clone(old)
	maps.Copy(row, c.Row)
	delete(r.byKey, was)
	r.byKey[id] = row
	r.size = len(r.byKey)
	return nil
}

// exchange is a bag's update: one of the rows equal to key becomes row.
func (r *rows) exchange(c wire.Change, lenient bool) error {
	if err := r.complete(c.Row); err != nil {
		return fmt.Errorf("row %w", err)
	}
	was, err := r.exact(c.Key)
	if err != nil {
		return err
	}
	id, err := r.identity(c.Row)
	if err != nil {
		return fmt.Errorf("row %w", err)
	}
	if was == id {
		return errors.New("changes nothing that is shown")
	}
	if err := r.delete(c.Key, lenient); err != nil {
		return err
	}
	r.put(id, c.Row)
	return nil
}

func (r *rows) delete(key Row, lenient bool) error {
	id, err := r.exact(key)
	if err != nil {
		return err
	}
	_, there := r.byKey[id]
	if r.bag {
		_, there = r.counts[id]
	}
	switch {
	case !there && lenient:
		return nil
	case !there:
		return fmt.Errorf("of a row that isn't there: %q", id)
	}
	r.size--
	delete(r.byKey, id)
	if c := r.counts[id]; c.n > 1 {
		r.counts[id] = counted{c.row, c.n - 1}
	} else {
		delete(r.counts, id)
	}
	return nil
}
