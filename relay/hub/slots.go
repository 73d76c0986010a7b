package hub

// slots is a hash table from hashes to shapes. A hash lies beside its shape, so that finding one takes one access to memory
// that is in no cache, where a map takes two: the tables are large, and each change goes to another place of them.
//
// It is open addressing with linear probing: a shape is at its hash's place or behind it, with no free slot between.
type slots struct {
	list []slot // a power of two, of which at least a fifth is free
	used int
}

type slot struct {
	hash  uint64
	shape *Shape // nil: the slot is free
}

// at returns the slot of a hash; ok is false where that is the free one for it. The list must not be empty.
func (t *slots) at(hash uint64) (at int, ok bool) {
	mask := len(t.list) - 1
	for at = int(hash) & mask; t.list[at].shape != nil; at = (at + 1) & mask {
		if t.list[at].hash == hash {
			return at, true
		}
	}
	return at, false
}

// get returns the shape of a hash, nil where there is none.
func (t *slots) get(hash uint64) *Shape {
	if len(t.list) == 0 {
		return nil
	}
	at, _ := t.at(hash)
	return t.list[at].shape
}

// set gives a hash its shape.
func (t *slots) set(hash uint64, s *Shape) {
	if 5*(t.used+1) > 4*len(t.list) {
		t.grow()
	}
	at, ok := t.at(hash)
	if !ok {
		t.used++
	}
	t.list[at] = slot{hash, s}
}

func (t *slots) grow() {
	was := t.list
	t.list = make([]slot, max(8, 2*len(was)))
	for _, s := range was {
		if s.shape != nil {
			at, _ := t.at(s.hash)
			t.list[at] = s
		}
	}
}

// remove takes a hash out. What lies behind it moves up as far as it may.
func (t *slots) remove(hash uint64) {
	if t.used == 0 {
		return
	}
	free, ok := t.at(hash)
	if !ok {
		return
	}
	t.used--
	mask := len(t.list) - 1
	for at := (free + 1) & mask; t.list[at].shape != nil; at = (at + 1) & mask {
		home := int(t.list[at].hash) & mask
		if (at-home)&mask >= (at-free)&mask {
			t.list[free], free = t.list[at], at
		}
	}
	t.list[free] = slot{}
}
