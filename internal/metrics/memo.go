package metrics

import "sync"

// memo remembers what was made for a key: looking up a series by its labels costs a tenth of a microsecond each, which is a lot where it is
// done for every message. It is for keys of which there are few. It is safe for concurrent use; make may be called twice for a key at first.
type memo[K comparable, V any] struct {
	made sync.Map
	make func(K) V
}

func (m *memo[K, V]) of(key K) V {
	if v, ok := m.made.Load(key); ok {
		return v.(V)
	}
	v, _ := m.made.LoadOrStore(key, m.make(key))
	return v.(V)
}
