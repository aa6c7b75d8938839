package comm

import "encoding/binary"

// ShardCount is the number of slices that apps are hashed to. It is stored in
// every queue row: never change it.
const ShardCount = 64

// Shard is a slice of the apps that one worker node owns under an epoch.
type Shard uint8

// ShardOf hashes an app, or with spread above 1 each of its messages, to a
// shard: a giant app may be spread over several consecutive ones.
func ShardOf(app, message ID, spread int) Shard {
	s := mix(app)
	if spread > 1 {
		s += mix(message) % uint64(spread)
	}
	return Shard(s % ShardCount)
}

// ShardsOf lists the shards that an app's messages can be in.
func ShardsOf(app ID, spread int) []Shard {
	base := mix(app)
	out := make([]Shard, 0, max(1, min(spread, ShardCount)))
	for i := range uint64(max(1, min(spread, ShardCount))) {
		out = append(out, Shard((base+i)%ShardCount))
	}
	return out
}

// mix spreads the random low half of an ID over 64 bits.
func mix(id ID) uint64 {
	x := binary.BigEndian.Uint64(id[8:])
	x *= 0x9e3779b97f4a7c15
	return x >> 32
}

// Unit is what the scheduler is fair between and what can be closed: one app's
// messages of one channel and lane, inside one shard.
type Unit struct {
	Shard   Shard
	App     ID
	Channel Channel
	Lane    Lane
}
