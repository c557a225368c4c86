-- ARGV[3]: the day. ARGV[4]: how long it lasts; 0 ends it.
local locked_day, lasts = tonumber(ARGV[3]), tonumber(ARGV[4])
if locked_day < day then return {'done'} end
turn_day(locked_day)
local ends = 0
if lasts > 0 then ends = math.max(locked_until, now + lasts) end
if ends ~= locked_until then
  redis.call('HSET', fleet, 'locked_until', ends, 'sequence', sequence + 1)
  tell('lockout', '')
end
return {'done'}
