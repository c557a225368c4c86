-- ARGV[3]: the day. ARGV[4]: the ceiling. ARGV[5]: the time between two calls. ARGV[6]: the horizon.
-- ARGV[7]: how many calls it adds to the count: 0, if it was counted before.
local wanted, ceiling = tonumber(ARGV[3]), tonumber(ARGV[4])
-- Together less than the minute after which a place counts as one from before the clock was put back.
local interval, horizon = math.min(tonumber(ARGV[5]), 25000), math.min(tonumber(ARGV[6]), 30000)
if wanted < day then
  -- A day that does not even begin tomorrow was begun by a clock that was far ahead: else no replica could make a call until
  -- it begins. A smaller step back of the clock does not say which of both days is the right one.
  local is_far = now < (day - 1) * 86400000 - 300000
  if not is_far or now >= (wanted + 1) * 86400000 + 300000 then return {'day_is_over'} end
  -- What was counted on it was called on this one. If it was right, it counts when the day begins again.
  local before = redis.call('HMGET', fleet, 'before_day', 'before_spent')
  redis.call('HSET', fleet, 'ahead_day', day, 'ahead_spent', spent)
  if (tonumber(before[1]) or 0) >= wanted then spent = spent + (tonumber(before[2]) or 0) end
  day = wanted
  redis.call('HSET', fleet, 'day', day, 'spent', spent, 'before_day', 0, 'before_spent', 0)
end
turn_day(wanted)
if wanted > day then return {'day_not_begun', wanted * 86400000 - now} end
if locked_until > now then return {'locked_out', locked_until - now} end
if spent >= ceiling then return {'exhausted', spent} end
local place = math.max(now, ahead(fields[6]), ahead(fields[7]))
if place - now > horizon then return {'late', place - now} end
sequence, spent = sequence + 1, spent + tonumber(ARGV[7])
redis.call('HSET', fleet, 'sequence', sequence, 'spent', spent, 'next_call', place + interval)
local probe = 0
if locked_until > 0 then
  -- The others wait for its result, or until it must have failed.
  probe = 1
  redis.call('HSET', fleet, 'locked_until', now + 30000)
end
return {'granted', place - now, spent, probe}
