package simulate

// recent is a map that forgets what came first once it holds more than its limit.
// It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	limit  int
	values map[K]V
	order  []K // a ring once it is full; oldest at next
	next   int
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, values: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	v, found := r.values[k]
	return v, found
}

// put sets a value; a key that is known keeps its place in the order.
func (r *recent[K, V]) put(k K, v V) {
	_, known := r.values[k]
	r.values[k] = v
	switch {
	case known:
	case len(r.order) < r.limit:
		r.order = append(r.order, k)
	default:
		delete(r.values, r.order[r.next])
		r.order[r.next] = k
		r.next = (r.next + 1) % r.limit
	}
}

// each visits what is left, oldest first, until visit answers false.
func (r *recent[K, V]) each(visit func(K, V) bool) {
	for i := range r.order {
		k := r.order[(r.next+i)%len(r.order)]
		if v, found := r.values[k]; found && !visit(k, v) {
			return
		}
	}
}
