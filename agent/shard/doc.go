// Package shard divides the work among the replicas of the agent.
//
// Every Repository falls into one of a fixed number of shards by a hash of its name, and with it
// the Overlays that follow it. A table says which replica holds which shard. It is kept in one
// Lease, always written against the version that was read, and only when the division changes.
// Each replica has a Lease of its own besides, whose name is the replica's name in the table, and
// renews it: as long as that Lease is there, the replica's shards are its own.
//
// No two replicas work on a shard at once:
//
//   - A replica that lives gives a shard away itself: the table says who is next, the holder
//     ends its work on the shard, and only then puts the next one in.
//   - A replica whose Lease was not renewed for the whole duration is taken for dead: another
//     deletes the Lease in exactly the version that was not renewed, and then all know that its
//     shards are free. Should it live after all, it finds its Lease gone, forgets everything and
//     begins anew under another name.
//   - It does nothing any more long before that, by its own clock, counted from the moment before
//     its last good renewal. From then on its transport refuses every write (Fence), so that a
//     process that was frozen and thaws does no harm.
//
// A replica that could not renew for a while and finds its Lease as it was goes on with all that
// it knows: nobody has touched its shards meanwhile.
//
// All Leases are seen through one watch. So who sees a version of the table has seen the Lease
// of every replica that it names, unless that is gone.
package shard
