-- ARGV[3]: the day. ARGV[4]: the ceiling. ARGV[5]: the time between two calls. ARGV[6]: the horizon.
-- ARGV[7]: how many calls it adds to the count: 0, if it was counted before.
local wanted, ceiling = tonumber(ARGV[3]), tonumber(ARGV[4])
-- Together less than the minute after which a place counts as one from before the clock was put back.
local interval, horizon = math.min(tonumber(ARGV[5]), 25000), math.min(tonumber(ARGV[6]), 30000)
if wanted < day then return {'day_is_over'} end
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
