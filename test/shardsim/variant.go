package shardsim

import "reflect"

// Variant switches single rules of the protocol off. The zero value is the
// protocol as it should be built; every set field is a planted weakness.
type Variant struct {
	NoFenceOnFinish  bool // finish does not look at the shard's owner, epoch or attempt
	FenceWithoutLock bool // the fence is read, not locked until the commit
	NoRecover        bool // attempts found open at a take-over are left alone
	NoSafetyPoll     bool // only pushes and notifications find messages
	NoRewind         bool // a notification makes the owner read on from its cursor
	LeaseByNodeClock bool // leases are written and judged by the nodes' own clocks
	DropLateResult   bool // a finish refused by the fence is thrown away
	FinishAnyAttempt bool // finish uses the shard's epoch of now and does not compare the attempt
	RecoverUnfenced  bool // recovery neither checks the epoch nor spares newer attempts
	RecoverOldView   bool // recovery reads what was open before the take got its lock
	AdoptByName      bool // node ids are stable and rows with my name are mine as they stand
	NoReconcile      bool // the shards table is not compared with memory
	RetakeInShare    bool // shards that are mine without my knowing are retaken only within the fair share
	NoOrphanSweep    bool // a start of unknown outcome is not looked for
	RenewHidesGap    bool // a heartbeat after a gap makes old starts look fresh
	NoLocalCheck     bool // the lease is not looked at before a provider call
	LockHeldByClient bool // the turn needs a second round trip to commit and no time-out ends it
	KeepZombies      bool // a cancelled message keeps its queue row
	RefillWins       bool // a refill under way moves the cursor past a rewind or a push
	CancelForgets    bool // a clean failure after an unknown attempt may end as CANCELLED
	ReadFromStart    bool // windows are read from the start of the unit, not from the cursor
	PollFromStart    bool // every safety poll reads from the start, not from a horizon
	LeavingCounts    bool // a node that is stopping still counts for the fair share
}

// ParseVariant sets the field of that name; the empty name is the protocol itself.
func ParseVariant(name string) (Variant, bool) {
	var v Variant
	if name == "" {
		return v, true
	}
	f := reflect.ValueOf(&v).Elem().FieldByName(name)
	if !f.IsValid() {
		return v, false
	}
	f.SetBool(true)
	return v, true
}
