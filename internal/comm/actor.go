package comm

// Actor is who makes a change, as the audit log names it.
type Actor struct {
	Kind    string // a word of ActorKinds; "" reads as ActorSystem
	Name    string // which one of the kind: the id of an app's key, the name of a user; "" where there is one only
	Address string // of the client; "" when the server acts by itself
	Request string // id of the request
}

// Kinds of actors. They are stored: never rename one.
const (
	ActorApp          = "app"
	ActorAdmin        = "admin"
	ActorUser         = "user"
	ActorProvisioning = "provisioning"
	ActorClient       = "client" // somebody whose credentials were refused
	ActorSystem       = "system"
)

// ActorKinds is every kind of actor with its meaning.
func ActorKinds() []Word { return actorKinds[:] }

var actorKinds = [...]Word{
	{ActorApp, "The app itself, by the key that the name is the id of."},
	{ActorAdmin, "The administrator: the holder of the admin key, or of a session that was opened with it."},
	{ActorUser, "A named user of the console."},
	{ActorProvisioning, "A setup job: a holder of the provisioning key."},
	{ActorClient, "Somebody whose credentials were refused."},
	{ActorSystem, "The server by itself."},
}
