package hub

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Visibility is a pg_snapshot: which transactions a snapshot sees.
// https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT-PARTS
type Visibility struct {
	XMin, XMax uint64
	InProgress []uint64 // sorted
}

// ParseVisibility reads pg_snapshot's text form, "xmin:xmax:xid,xid".
func ParseVisibility(text string) (v Visibility, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return v, errors.New("not a pg_snapshot")
	}
	if v.XMin, err = strconv.ParseUint(parts[0], 10, 64); err != nil {
		return v, err
	}
	if v.XMax, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return v, err
	}
	for part := range strings.SplitSeq(parts[2], ",") {
		if part == "" {
			continue
		}
		xid, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return v, err
		}
		v.InProgress = append(v.InProgress, xid)
	}
	slices.Sort(v.InProgress)
	return v, nil
}

// Sees tells that the snapshot sees what the committed transaction wrote.
func (v *Visibility) Sees(xid uint64) bool {
	if xid < v.XMin {
		return true
	}
	if xid >= v.XMax {
		return false
	}
	_, running := slices.BinarySearch(v.InProgress, xid)
	return !running
}
