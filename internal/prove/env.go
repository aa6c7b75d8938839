package prove

import "github.com/commserver/commserver/internal/seal"

// Environment is what the processes of a run need: a short lease, so that
// take-overs are many, and keys of their own. An empty database
// means SQLite in the data folder of the run.
func Environment(database string) ([]string, error) {
	env := []string{"COMMS_LEASE=3s", "COMMS_HEARTBEAT=1s", "COMMS_DATABASE_URL=" + database}
	ring, err := seal.GenerateRing("prove")
	if err != nil {
		return nil, err
	}
	return append(env, "COMMS_ADMIN_KEY=prove-admin-key-0123456789abcdef0123", "COMMS_ENCRYPTION_KEYS="+ring.Reveal()), nil
}
