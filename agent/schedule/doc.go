// Package schedule says when things are due: slots by cron, calendars of several schedules, and
// windows of time that begin at slots.
//
// In goes a cron expression of five fields, or a descriptor such as @daily, with the name of a
// time zone; out comes a [Schedule], whose Next gives the slot after a time, and a [Window], which
// says whether it is open at a time and when that changes. What can never come, such as 30
// February, is refused with a sentence, and so is everything that cannot be read.
//
// In go the schedules of a Retraining, with its zone, start and end; out comes a [Calendar]. It
// also knows "@every 6h": slots are the start, or without one the creation, and whole numbers of
// six hours after it; the creation itself is none. A time that several schedules name is one slot.
// Last and Count look at the slots of a time within bounds: a year of minutes costs no more
// memory than the slots that were asked for.
//
// Slots are times of the wall, in whole seconds. Where clocks are put forward and a slot does not
// exist, it counts at the next minute that does; where they are put back and a slot comes twice, it
// counts once, the first time. "@every" knows of no walls. Windows last as long as they say by the
// clock that nobody changes: one of eight hours may close at another time of the wall than usual.
//
// It never asks for the time: time is an argument. Zones are those of the IANA, and are part of
// the binary where the machine has none.
package schedule
