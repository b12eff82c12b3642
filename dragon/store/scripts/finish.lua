-- finish: executing -> success or error
--
-- ARGV[2]… fives: key, token, state, status line, output files (JSON)
-- Returns  1 for each that ended, 0 for each that the worker holds no longer
-- Tells    whoever waits: the final status

local answers = {}
for index = 2, #ARGV, 5 do
  local key, is = ARGV[index], read(ARGV[index])
  local is_held = is_held_by(ARGV[index + 1], is)
  if is_held then complete(key, is, ARGV[index + 2], ARGV[index + 3], ARGV[index + 4]) end
  answers[#answers + 1] = is_held and 1 or 0
end
deliver()
return answers
