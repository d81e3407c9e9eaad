// Package slot decides which runs of a Retraining begin, which slots are skipped, and which runs
// have to make room.
//
// What goes in is [Facts]: the Retraining as it is on record, with what its triggers have seen in
// its status; its RetrainingRuns; and the time. What comes out is a [Decision]: the runs to create,
// the slots to record as skipped, each with a reason, the runs to cancel, the status that is to be
// on record next, and when to look again though nothing happens. The same facts give the same
// decision, and when it is carried out there is nothing more to decide.
//
// # Carrying it out
//
// In this order, so that a crash at any point, and two replicas that decide at the same time, make
// no run twice and lose no slot:
//
//  1. Create the RetrainingRuns of Begin and Skipped. One that exists and was among Runs is as good;
//     of Skipped, it becomes Skipped if it has not begun. One that exists and was not among Runs
//     shows that the facts are old: read again and decide again. Ask for the end of those in Cancel;
//     what has not begun ends at once.
//  2. Write Status, on the condition that the Retraining is still the one that was decided upon
//     (its resourceVersion). This is the moment from which the decision holds: if it fails, read
//     again and decide again.
//  3. End the runs in Withdraw: records of a decision that never came to hold. Read the
//     Retraining itself before, not a cache.
//
// A run begins only when [MayBegin] says so, which asks for it to be in the status. So what a
// replica with an old record creates does not begin. An attempt is written down, on the condition
// that the run is unchanged, before its engine is called: a run without an attempt has not begun,
// and its slot can still be decided in another way. Runs are pruned as [Expired] says.
//
// # Slots
//
// A slot is on time if it is the newest that is due, not older than five minutes, and was not due while
// the Retraining was suspended. All others that are due are missed.
//
// concurrencyPolicy is for slots on time, and for triggers, while a run goes on: Forbid skips the
// slot, while a trigger waits; Allow runs both; Replace cancels what goes on.
//
// missed is for missed slots, and for slots on record whose run has not begun, for instance because
// the engine cannot be reached. Skip records them. Latest keeps the newest, unless a slot on time
// runs. All keeps the newest missedLimit of them. What is kept waits, on record, until nothing goes
// on; with Allow, until no other missed slot is being run. So they are run one after the other. A
// slot on time that comes with them, or while one has not begun, waits behind them with All.
//
// Suspend begins nothing; what was asked for by hand meanwhile is recorded as skipped. When the
// schedules, their zone, start or end change, slots that were due or waited are recorded and not
// run: the past is never replayed. A clock that is put back makes all wait until it shows again
// what it had shown; one that is put forward makes slots missed.
//
// # Triggers
//
// Data fires when its fingerprint is another than the one used last, and has been for settle; a
// metric when it has been out of its bounds for the time of the spec, once for each time that it
// leaves them; both only once somebody has looked after so long. A commit fires when the definition is
// another than the one used last. What is seen for the first time fires nothing. All that is there is
// used by whatever run begins, so that data which a scheduled run was started with does not start
// another. Triggers start a run every minimumInterval
// at most, one for all that have fired, and wait as long as they may not; requests by hand wait for
// Forbid only.
//
// It does nothing and knows no clock. Its work and memory are bounded, however many slots were
// missed: at most 10,000 of them are counted.
package slot
