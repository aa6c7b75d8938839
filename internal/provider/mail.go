package provider

// NoSuchAddress are the statuses of RFC 3463, without their class, by which a permanent refusal says that the
// recipient's address does not exist, or takes no mail for good (IANA's registry): no mailbox, no domain, no address,
// moved, no mail for the domain, disabled. All others speak of the sender, the mail, a policy or the network.
func NoSuchAddress() []string { return []string{"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"} }
